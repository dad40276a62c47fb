/* lookup.h: what lookup.c (by id) and recent.c (newest first, short forms of ids) share.
 * Threads: any; all of it BLOCKING. */
#ifndef NX_FAB_LOOKUP_H
#define NX_FAB_LOOKUP_H
#include "fab_internal.h"

#define NX_FAB_NEWEST 100000  /* messages in which a suffix is looked for, and an id whose time misleads */
#define NX_FAB_BATCH_MAX 1000 /* messages in one page */

typedef struct nx_fab_stored {
    natsMsg *m;
    uint64_t seq, wall_ns;
    nx_slice subject;
} nx_fab_stored;

typedef struct nx_fab_query {
    const char *stream, *filter; /* filter NULL: all subjects */
    uint64_t seq, wall_ns;       /* where to begin: the sequence, or where 0 the time */
    unsigned singles;            /* so many messages are asked for one by one first: a batch makes the server count all that match */
    unsigned batch;              /* size of the first page after them; later ones grow */
    uint64_t limit_ns;           /* how long it may take; 0: 5 s */
    bool is_exact;               /* nx_fab_visit(): to the end as the leader has it; else as the copy has it that answers, which may be a moment behind */
} nx_fab_query;

/* Less than 0: error; 0: go on; more: enough. A visitor that keeps the message sets s->m to NULL. */
typedef int (*nx_fab_visit_fn)(void *self, nx_fab_stored *s);

bool nx_fab_stored_read(natsMsg *m, nx_fab_stored *ret);
nx_err nx_fab_page(nx_fab *f, const nx_fab_query *q, nx_fab_replies *ret, nx_error *reterr); /* one batched direct get */
/* The same in two halves. What has begun is ended, whatever becomes of it; `p` stays where it is meanwhile. */
typedef struct nx_fab_page_ask {
    char subject[192], body[NX_FAB_SUBJECT_BYTES + 192];
    nx_fab_ask ask;
    nx_fab_pending pending;
} nx_fab_page_ask;
nx_err nx_fab_page_begin(nx_fab *f, const nx_fab_query *q, nx_fab_page_ask *p, nx_error *reterr);
nx_err nx_fab_page_end(nx_fab *f, nx_fab_page_ask *p, nx_fab_replies *ret, nx_error *reterr); /* BLOCKING */
/* One message by its sequence; *ret lies in `got`, which the caller ends. NX_ENOENT: "no `what` has sequence …". */
nx_err nx_fab_get_seq(nx_fab_ns *n, const char *stream, const char *what, uint64_t seq, nx_fab_replies *got, nx_fab_stored *ret, nx_error *reterr);
/* Visits from where the query begins to the end of the stream, at most limit_ns (NX_ETIMEOUT). is_exact: NX_EUNAVAIL where the copy that answers stays behind. */
nx_err nx_fab_visit(nx_fab *f, nx_fab_query q, nx_fab_visit_fn visit, void *self, nx_error *reterr);
nx_err nx_fab_newest_from(nx_fab_ns *n, const char *stream, uint64_t *ret_seq, nx_error *reterr); /* where the newest NX_FAB_NEWEST begin */
/* Sequence where the time begins, UINT64_MAX where it has not; `otherwise` where no time is given. */
nx_err nx_fab_seq_at(nx_fab *f, const char *stream, uint64_t wall_ns, uint64_t otherwise, uint64_t *ret, nx_error *reterr);
/* A record that was written after a redelivery may be the second final one of its run; the first counts. */
bool nx_fab_run_is_later_final(nx_fab_ns *n, const nx_run *run);
/* named.c: an id that was made with a name (nx_id_is_of) can lie only under that name's subjects: those of the stream that `filter` covers, as
 * filters of their own. None: nobody ever gave out this id, or nothing of that name is stored any more. */
#define NX_FAB_NARROWED_MAX 8
typedef struct nx_fab_narrowed {
    char v[NX_FAB_NARROWED_MAX][NX_FAB_SUBJECT_BYTES];
    unsigned n;
} nx_fab_narrowed;
nx_err nx_fab_narrow(nx_fab_ns *n, const char *stream, const char *filter, const nx_id *id, nx_fab_narrowed *ret, nx_error *reterr);
nx_slice nx_fab_stored_event_id(natsMsg *m);
bool nx_fab_stored_is_final(natsMsg *m);
nx_err nx_fab_stored_event(nx_fab_ns *n, const nx_fab_stored *s, nx_arena *a, nx_event *ret, nx_error *reterr);
nx_err nx_fab_stored_run(nx_fab_ns *n, const nx_fab_stored *s, nx_arena *a, nx_run *ret, nx_error *reterr);
#endif

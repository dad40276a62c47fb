/* consume.h: what consume.c (pulls, deliveries, messages) and consumer.c (durable consumers) share.
 * Threads: all with f->cmu held, but release and what is said otherwise. */
#ifndef NX_FAB_CONSUME_H
#define NX_FAB_CONSUME_H
#include "fab_internal.h"

/* A client that does not ask for so long is no longer the pinned one; longer than ack_wait, so that what a dead client had is delivered again
 * before or with what is new. It asks several times meanwhile, and is sure of its term for a part of it. */
#define NX_FAB_PIN_GROUP "nx"
#define NX_FAB_PIN_NS (2400 * NX_NS_PER_MS)
#define NX_FAB_PIN_ASK_NS (NX_FAB_PIN_NS / 4)
#define NX_FAB_PIN_SURE_NS (NX_FAB_PIN_NS / 3 * 2)

#define NX_FAB_LENT_MAX 8u /* messages lent to an idle consumer */

uint64_t nx_fab_heartbeat_ns(const nx_fab *f); /* of idle pulls */
unsigned nx_fab_base_target(const nx_fab *f);
void nx_fab_pull(nx_fab *f, nx_fab_consumer *c); /* asks for more where it may and should */
void nx_fab_pull_ordered(nx_fab *f, nx_fab_consumer *c);
/* Its term is over: nobody is pinned as far as this client knows, what was asked for in its name is void. */
void nx_fab_unpin(nx_fab *f, nx_fab_consumer *c);
/* A message of an ordered consumer; true: an earlier term is over, and is to be told about first. */
bool nx_fab_ordered_deliver(nx_fab *f, nx_fab_consumer *c, natsMsg *nm);
void nx_fab_tell_unpinned(nx_fab *f); /* nx-fab, without f->cmu: calls back */
bool nx_fab_say(nx_fab *f, const char *subject, const char *reply, const char *text);
void nx_fab_ungrant(nx_fab *f, nx_fab_consumer *c, unsigned n, size_t bytes);
void nx_fab_unstarve(nx_fab *f, nx_fab_consumer *c);
void nx_fab_feed_starved(nx_fab *f);

/* Of a consumer as the server has it: seen.c, without f->cmu. */
#define NX_FAB_CONFIG_MARK "nexus-config"
typedef struct nx_fab_known {
    bool is_there, is_paused;
    bool is_made;  /* by this node, a moment ago: it was not there */
    char mark[33]; /* what its settings come to, see consumer.c; "": not known */
    uint64_t pending;
} nx_fab_known;
void nx_fab_known_read(const nx_json *info, nx_fab_known *ret);
nx_fab_known *nx_fab_seen_find(const nx_fab_seen *s, const char *stream_consumer); /* NULL: it was not asked for. s may be NULL */
bool nx_fab_known_is_same(const nx_fab_known *there, const nx_fab_consumer *c);    /* it has the settings that c is to have */

/* consumer.c, without f->cmu: c, zeroed, as the options say; nothing is asked, nobody knows it. It is released also after an error. */
nx_err nx_fab_consumer_prepare(nx_fab_ns *n, const nx_fab_consumer_options *o, nx_fab_consumer *c, nx_error *reterr);
nx_err nx_fab_consumer_update(const nx_fab_consumer *c, const nx_json *info, nx_buf *config, nx_error *reterr); /* the server's settings, changed into c's */
/* The request that makes it, or changes it, with this configuration. */
nx_err nx_fab_consumer_request(const nx_fab_consumer *c, nx_slice config, char subject[NX_FAB_SUBJECT_BYTES], nx_buf *body);

nx_err nx_fab_consumer_enlist(nx_fab *f, nx_fab_consumer *c); /* NX_EEXIST, NX_ENOMEM, NX_EMANY */
void nx_fab_consumer_delist(nx_fab *f, nx_fab_consumer *c);
void nx_fab_consumer_unref(nx_fab_consumer *c);
void nx_fab_consumer_release(nx_fab_consumer *c); /* frees one that nobody knows */
#endif

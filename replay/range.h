/* range.h: repeating a stretch of recorded runs.
 * Why:       a range replay, a shadow and whatever else looks at many runs differ in where they begin and end and in what they make of the results;
 *            reading ahead, order by key, rate, workers and places that survive a crash are the same.
 * The way:   the job's thread reads pages of records with their events and puts them on lanes; workers take lanes and repeat; finished pages come
 *            back and are folded into the summary in the order of the log. A place is only ever stored with the summary of all that lies before it,
 *            so that after a crash every event counts once.
 * Order:     runs whose events have one partition key are repeated one after the other, in the order of the events in the log: with live effects
 *            exactly (range_order.h), else as far as records are no more than NX_RANGE_HELD places out of it, since nothing shows the order of runs whose
 *            answers are recorded. All others on as many cores as there are.
 * Memory:    NX_RANGE_PAGES batches (nx/fab_range.h) and one repetition a worker.
 * Threads:   nx_range_run() BLOCKS on its caller's thread; a collector's note() is called on several workers at a time, all else on that thread. */
#ifndef NX_REPLAY_RANGE_H
#define NX_REPLAY_RANGE_H
#include "nx/fab_range.h"
#include "nx/job.h"
#include "nx/replay.h"

#define NX_RANGE_PAGES 6
#define NX_RANGE_HELD 128
#define NX_RANGE_NOTE_BYTES (64u << 10)

/* Makes something of many results: counts, examples, differences. A row of nx_range_collectors. */
typedef struct nx_range_collector {
    const char *name; /* key of its part of the summary */
    /* `saved`: what save() wrote before a restart; NULL: nothing yet. */
    nx_err (*open)(const nx_json *saved, void **ret_self, nx_error *reterr);
    /* On a worker, several at a time: what is worth keeping of one result, appended to `note` (at most NX_RANGE_NOTE_BYTES; nothing: fine). */
    void (*note)(void *self, const nx_replay_result *r, nx_buf *note);
    /* In the order of the log, once for every result, `note` being empty where nothing was written. `run` is the recorded one. */
    void (*fold)(void *self, const nx_run *run, nx_replay_verdict verdict, nx_slice note);
    /* One JSON value: shown to people and given back to open(). */
    nx_err (*save)(void *self, nx_jw *w);
    void (*close)(void *self); /* NULL allowed */
} nx_range_collector;

extern const nx_range_collector *const nx_range_collectors[]; /* NULL-terminated; at most 8 */
extern const nx_range_collector nx_range_counts, nx_range_diffs;

typedef struct nx_range_options {
    nx_fab_range what;
    uint64_t from, to; /* sequences of the runs stream */
    bool is_following; /* at the end, wait for more: `to` means nothing */
    unsigned rate;     /* events a second; 0: as fast as it goes */
    unsigned workers;  /* 0: one a core */
    nx_effects_policy effects;
    bool is_other_code;
    nx_sha256 artifact;           /* with is_other_code */
    nx_slice version;             /* how results call it */
    const nx_fn_config *settings; /* of that version; NULL: those of the recording */
} nx_range_options;

/* Until the end, or nx_job_is_over() (NX_ECANCELED). NX_EUNAVAIL and other retryable errors: can go on from the saved place. */
nx_err nx_range_run(nx_node *n, nx_job *job, const nx_range_options *o, nx_error *reterr);

/* Kinds of jobs. */
extern const nx_job_kind nx_range_job; /* "replay" */
#endif

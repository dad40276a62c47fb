/* prune.h: which stored versions and artifacts nothing needs any more, and removing them.
 * A version stays while an alias names it (also from before, for a rollback), while it is one of a function's newest, while it is younger than
 * asked, while a job that is not over or a timer names it, and while a stored recording was made by it: records are read for that, once, until no
 * candidate is left.
 * An artifact stays while a version that stays, a function of this node, such a job or a stored recording has it, or it was put lately.
 * The highest number of a function always stays, so that no number is ever given twice.
 * Ownership: a survey owns its arena, where all it has found lies.
 * Threads:   one; all of it BLOCKING. */
#ifndef NX_CORE_PRUNE_H
#define NX_CORE_PRUNE_H
#include "job_internal.h"

#define NX_CORE_SURVEY_BYTES (512u << 20) /* cap of its arena */

typedef enum { NX_CORE_NEEDED_NOT,
               NX_CORE_NEEDED_ALIAS,
               NX_CORE_NEEDED_NEWEST,
               NX_CORE_NEEDED_YOUNG,
               NX_CORE_NEEDED_JOB,
               NX_CORE_NEEDED_TIMER,
               NX_CORE_NEEDED_RECORDING,
               NX_CORE_NEEDED_KINDS } nx_core_need;

typedef struct nx_core_old_version {
    nx_slice function, key, value; /* of the registry; lent by the arena */
    unsigned number;
    nx_sha256 artifact;
    uint64_t created_wall_ns;
    nx_core_need by;
} nx_core_old_version;

typedef struct nx_core_old_artifact {
    nx_fab_artifact is;
    bool is_needed;
} nx_core_old_artifact;

typedef struct nx_core_survey {
    nx_node *node;
    nx_arena arena;
    nx_slice function; /* only this one's versions; empty: all */
    uint64_t before_wall_ns;
    unsigned keep;
    nx_core_old_version *versions;   /* by function, then number */
    nx_core_old_artifact *artifacts; /* by digest */
    unsigned n_versions, n_artifacts, n_freed;
    uint64_t freed_bytes, n_records;
    nx_job *job; /* NULL: nobody waits for the end of it */
} nx_core_survey;

/* Everything that keeps a version but recordings. */
nx_err nx_core_survey_make(nx_core_survey *s, nx_error *reterr);
bool nx_core_survey_has_candidates(const nx_core_survey *s);
/* Reads the recordings, where there are candidates, and removes what is left (is_dry: only counts it). NX_ECANCELED: its job is over. */
nx_err nx_core_survey_prune(nx_core_survey *s, bool is_dry, nx_error *reterr);

/* prune_job.c */
extern const nx_job_kind nx_core_prune_job;
#endif

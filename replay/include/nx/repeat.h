/* nx/repeat.h: repeating one recorded run: a program, an event and a recording make an outcome and a verdict.
 * Why:       everyone who replays (one event, a range, a bundle, a bisect, a test, an audit) repeats the same way. Knows no node and no network.
 * Ownership: an nx_replay_repetition is storage that is used again and again; what nx_replay_repeat() gives is lent until its next use. Program, event,
 *            recording and `how` are lent for the call, and what the result points to of them for as long as the result is looked at.
 * Threads:   a repetition is one thread's at a time. nx_replay_repeat() runs the guest on the calling thread, whose stack is at least 2 MiB.
 * Errors:    a run that can't be repeated has the verdict NX_REPLAY_FAILED and a reason; only a failed allocation of a repetition is an error. */
#ifndef NX_REPEAT_H
#define NX_REPEAT_H
#include "nx/config.h"
#include "nx/effect.h"
#include "nx/event.h"
#include "nx/rt.h"
#include "nx/run.h"

typedef enum { NX_REPLAY_IDENTICAL,
               NX_REPLAY_DIVERGED,
               NX_REPLAY_FAILED } nx_replay_verdict;

const char *nx_replay_verdict_name(nx_replay_verdict v);

typedef struct nx_replay_result {
    const nx_event *event;
    const nx_run *original;    /* the recorded run */
    const nx_run *replayed;    /* NULL when it could not be repeated */
    const nx_outcome *outcome; /* what `replayed` was made of; NULL with it */
    const nx_emit *emits;      /* what `original` emitted, as far as it is known; NULL: nobody looked */
    const bool *emits_known;   /* of which of them that is so */
    nx_effects_policy effects;
    nx_replay_verdict verdict;
    bool is_artifact_missing; /* why it failed */
    bool is_node_failure;     /* as well: of the machine (memory, instances), which says nothing of the recording */
    bool is_fuel_comparable;
    bool is_what_if;                       /* something else than the code was changed: no proof, but a comparison of what it says */
    char reason[512];                      /* one sentence; "" when identical */
    char version[72];                      /* of the code that was run */
    char log_trace[NX_TRACE_ID_HEX + 8];   /* "<trace id>-replay" */
    int64_t first_difference;              /* index of the first host call that differs; -1 */
    nx_slice recorded_call, replayed_call; /* readable; empty when first_difference is -1 */
    nx_slice replayed_at;                  /* where in the guest: frames, one a line; empty where nobody looked */
} nx_replay_result;

/* The answer of one recorded effect, replaced: what if it had been another? */
typedef struct nx_replay_effect {
    unsigned index; /* in the recording, from 0 */
    nx_effect_status status;
    nx_slice answer;
} nx_replay_effect;

/* How a run is repeated. All zero: as it was recorded (the proof). */
typedef struct nx_replay_how {
    nx_effects_policy effects;
    nx_rt_share *share;              /* with whose group the run is cancelled; NULL: with the runtime alone */
    bool is_other_code;              /* the program is not the recorded one: the guest reads NEXUS_IS_REPLAY, and only what it says is compared */
    nx_slice version;                /* of the program; empty: the recorded one */
    nx_slice artifact;               /* SHA-256 hex of the program; empty: the recorded one */
    const nx_fn_config *settings;    /* of the version that is run: its environment, limits and input; NULL: what was recorded */
    uint64_t stop_at_call;           /* the run ends before this host call, 1 being the first, with a backtrace; 0: no */
    uint64_t keep_calls_bytes;       /* of the host-call trace in the outcome; 0: as much as records keep */
    const nx_slice *data;            /* in place of the event's data; NULL: the event's */
    uint64_t start_wall_ns;          /* where the guest's clock starts; 0: where it did */
    const nx_replay_effect *answers; /* ascending by index */
    unsigned n_answers;
    bool is_what_if; /* one of these three is set: only what the guest says is compared */
    /* The world of live calls, and where a recorded secret's value is read again; ops NULL: there is none. grants NULL: none. */
    const nx_effect_ops *effect_ops;
    void *effect_self;
    const nx_grants *grants;
    /* Who the repetition is, where it leaves a record; all may be empty. */
    nx_id run_id, node;
    nx_trace trace;
    /* Each line of the guest's log output as it is written; `replay` has ids and version, and no outcome yet. May be NULL. */
    void (*on_log)(void *self, const nx_event *e, const nx_run *replay, nx_slice line);
    void *self;
} nx_replay_how;

typedef struct nx_replay_repetition nx_replay_repetition;

nx_err nx_replay_repetition_new(nx_rt *rt, nx_replay_repetition **ret);
void nx_replay_repetition_free(nx_replay_repetition *p); /* NULL allowed */

/* Never NULL. Nothing is allocated once the repetition has seen events and outputs of this size. */
const nx_replay_result *nx_replay_repeat(nx_replay_repetition *p, nx_rt_program *program, const nx_event *event, const nx_run *recorded, const nx_replay_how *how);
/* The result of a run that can't be repeated for a reason outside of it (its code is gone): failed, "<what>: <detail>". */
const nx_replay_result *nx_replay_refuse(nx_replay_repetition *p, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, bool is_artifact_missing,
                                         const char *what, const char *detail);
/* The JSON object of one result (docs/API_REFERENCE.md). */
nx_err nx_replay_result_to_json(const nx_replay_result *r, nx_jw *w);
#endif

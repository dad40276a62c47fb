/* nx/what_if.h: what if the event, the time or an answer had been another? What a what-if changes, and making a `how` of it.
 * Why:       "would it have worked with a price?" is asked of a real production event, not of a made-up one.
 * Ownership: nx_replay_what_if lends from the request; what is made for the run lies in the arena.
 * Threads:   plain data.
 * Errors:    NX_EINVAL, NX_EPARSE, NX_ELIMIT: which change can't be made, and why. */
#ifndef NX_WHAT_IF_H
#define NX_WHAT_IF_H
#include "nx/repeat.h"

#define NX_WHAT_IF_CHANGES_MAX 64
#define NX_WHAT_IF_DATA_BYTES (16u << 20)

/* One place of the event: "data.items[0].price" becomes a JSON value. */
typedef struct nx_what_if_set {
    nx_slice path, value;
} nx_what_if_set;

/* One recorded effect's answer; `answer` is JSON: see nx_what_if_answer(). */
typedef struct nx_what_if_effect {
    unsigned index; /* as `runs show` counts: 0 is the first */
    nx_slice answer;
} nx_what_if_effect;

typedef struct nx_replay_what_if {
    bool has_data;
    nx_slice data; /* in place of the event's; before any set */
    nx_what_if_set sets[NX_WHAT_IF_CHANGES_MAX];
    unsigned n_sets;
    nx_what_if_effect effects[NX_WHAT_IF_CHANGES_MAX];
    unsigned n_effects;
    uint64_t start_wall_ns; /* 0: as recorded */
    int64_t shift_ns;       /* from the recorded start on */
} nx_replay_what_if;

bool nx_what_if_is_empty(const nx_replay_what_if *w);
/* Reads the members "set": [{"path", "value"}], "data_base64", "at" (a time, or a span from the recorded start on: "+1h") and "set_effects": [{"index", "answer"}] of a request; values are JSON as text. All
 * of it lies in the arena. */
nx_err nx_what_if_from_json(const nx_json *request, nx_arena *a, nx_replay_what_if *ret, nx_error *reterr);
/* Sets data, start and answers of `how`; is_what_if with them. */
nx_err nx_what_if_apply(const nx_replay_what_if *w, const nx_event *event, const nx_run *recorded, nx_arena *a, nx_replay_how *how, nx_error *reterr);
#endif

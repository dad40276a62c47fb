/* find.h: what a node knows of an event: how its runs ended, and the code and settings of versions.
 * Ownership: nx_replay_found owns event and runs, nx_replay_code its program and settings; both in the caller's storage, ended by _done().
 * Threads:   BLOCKING; any number at a time.
 * Errors:    NX_ENOENT, NX_ECONFLICT (ambiguous id) as in nx/replay.h. */
#ifndef NX_REPLAY_FIND_H
#define NX_REPLAY_FIND_H
#include "nx/repeat.h"
#include "nx/replay.h"

typedef struct nx_replay_found {
    nx_arena arena;
    nx_event event;
    const nx_run **runs; /* the final one of each function that ran the event */
    unsigned n;
} nx_replay_found;

/* `function` empty: every one. NX_ENOENT where there is no run of it. */
nx_err nx_replay_find(nx_node *n, nx_slice event, nx_slice function, nx_replay_found *ret, nx_error *reterr);
void nx_replay_found_done(nx_replay_found *f);

/* What one repetition is made with. */
typedef struct nx_replay_code {
    char name[72]; /* "v7", "dev-1a2b3c4d", or the SHA-256 of an artifact without a version */
    char artifact[NX_SHA256_HEX + 1];
    bool is_recorded; /* the recorded artifact with the recorded settings */
    nx_rt_program *program;
    nx_core_version version; /* its settings; zero where there are none but the recorded */
    nx_node *node;           /* whose world live calls reach */
    nx_core_version granting;
    nx_grants grants; /* nothing, before nx_replay_code_grant() */
    /* After a failure: */
    const char *failed; /* what could not be had, for nx_replay_refuse() */
    bool is_missing;    /* the artifact is no longer stored */
} nx_replay_code;

#define NX_REPLAY_RECORDED "recorded"

/* `name`: empty or "recorded": the recorded artifact; a version, an alias, or an artifact's SHA-256. `event` decides where an alias is split; NULL: such
 * an alias is refused. reterr says what is missing. */
nx_err nx_replay_code_get(nx_node *n, const nx_run *recorded, const nx_event *event, nx_slice name, nx_replay_code *ret, nx_error *reterr);
void nx_replay_code_done(nx_replay_code *c);
/* For live effects: what the version may reach; code without a version has the grants of the recorded one, else of the live one. */
void nx_replay_code_grant(nx_node *n, const nx_run *recorded, nx_replay_code *c);
/* Program's part of a `how`, and the world's. */
void nx_replay_code_use(const nx_replay_code *c, nx_replay_how *how);
#endif

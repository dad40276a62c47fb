/* effects_world.h: a world for host calls, in memory: one key-value pair, one secret, one HTTP server that says what it was asked. */
#ifndef NX_TEST_EFFECTS_WORLD_H
#define NX_TEST_EFFECTS_WORLD_H
#include <stdatomic.h>

#include "nx/rt.h"

typedef struct effects_world {
    atomic_uint n_calls; /* by the workers, side by side */
    uint64_t revision;   /* of the one pair; 0: there is none */
    char value[64];
    nx_slice secret, answer; /* answer: body of HTTP; empty: the request */
    nx_err err;              /* of http_request and kv_get */
    uint64_t blocks_ns;      /* how long the server takes */
} effects_world;

extern const nx_effect_ops effects_world_ops;
extern const nx_grants effects_world_grants; /* https://api.example.com; default, other; mail.*, t; API_KEY */
void effects_world_live(nx_attempt *a, effects_world *w);
#endif

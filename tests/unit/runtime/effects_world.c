/* effects_world.c: see effects_world.h. */
#include "effects_world.h"

#include "nx/clock.h"

#include <stdio.h>
#include <time.h>

static nx_err put(nx_buf *to, const char *text, size_t n) { return nx_buf_append(to, text, n); }

static nx_err http_request(void *self, const nx_effect_call *c, nx_slice request, nx_error *reterr)
{
    effects_world *w = self;
    w->n_calls++;
    if (w->blocks_ns) { /* as a server that does not answer: until the deadline, or until the world lets go */
        uint64_t until_ns = nx_clock_ns() + w->blocks_ns;
        if (until_ns > c->deadline_ns) until_ns = c->deadline_ns;
        const struct timespec t = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) {}
        if (nx_clock_ns() >= c->deadline_ns) return nx_error_set(reterr, NX_ETIMEOUT, "no answer in time");
    }
    if (w->err) return nx_error_set(reterr, w->err, "the world says no");
    nx_err err = put(c->answer, "200\n\n", 5);
    return err ? err : nx_buf_append_slice(c->answer, w->answer.n ? w->answer : request);
}

static nx_err kv_get(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_error *reterr)
{
    effects_world *w = self;
    w->n_calls++;
    if (w->err) return nx_error_set(reterr, w->err, "the world says no");
    if (!w->revision) return nx_error_set(reterr, NX_ENOENT, "no key %.*s in %.*s", NX_SLICE_FMT(key), NX_SLICE_FMT(store));
    return nx_buf_printf(c->answer, "%llu\n%s", (unsigned long long)w->revision, w->value);
}

static nx_err kv_put(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_slice value, int64_t expected, nx_error *reterr)
{
    effects_world *w = self;
    (void)store;
    (void)key;
    w->n_calls++;
    if (expected != NX_KV_ANY && (uint64_t)expected != w->revision) return nx_error_set(reterr, NX_ECONFLICT, "revision %llu", (unsigned long long)w->revision);
    w->revision++;
    (void)snprintf(w->value, sizeof w->value, "%.*s", NX_SLICE_FMT(value));
    return nx_buf_printf(c->answer, "%llu\n", (unsigned long long)w->revision);
}

static nx_err kv_delete(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, int64_t expected, nx_error *reterr)
{
    effects_world *w = self;
    (void)c;
    (void)store;
    (void)key;
    (void)expected;
    (void)reterr;
    w->n_calls++;
    w->revision = 0;
    return NX_OK;
}

static nx_err secret_get(void *self, const nx_effect_call *c, nx_slice name, nx_error *reterr)
{
    effects_world *w = self;
    (void)name;
    w->n_calls++;
    if (!w->secret.n) return nx_error_set(reterr, NX_ENOENT, "no such secret");
    nx_sha256 keyed = nx_sha256_of(w->secret);
    nx_err err = nx_buf_append_slice(c->answer, w->secret);
    return err ? err : nx_buf_append(c->keep, keyed.b, sizeof keyed.b);
}

static nx_err keyed_digest(void *self, nx_slice name, nx_slice request, nx_sha256 *ret, nx_error *reterr)
{
    const nx_slice parts[] = {NX_SLICE("the world's key"), name, request};
    (void)self;
    (void)reterr;
    *ret = nx_sha256_of_parts(parts, NX_ARRAY_LEN(parts));
    return NX_OK;
}

const nx_effect_ops effects_world_ops = {http_request, kv_get, kv_put, kv_delete, secret_get, keyed_digest};

static const nx_slice hosts[] = {{"https://api.example.com", 23}}, stores[] = {{"default", 7}, {"other", 5}}, types[] = {{"mail.*", 6}, {"t", 1}},
                      secrets[] = {{"API_KEY", 7}};
const nx_grants effects_world_grants = {hosts, 1, stores, 2, types, 2, secrets, 1};

void effects_world_live(nx_attempt *a, effects_world *w)
{
    a->effects = NX_EFFECTS_LIVE;
    a->grants = &effects_world_grants;
    a->effect_ops = &effects_world_ops;
    a->effect_self = w;
}

/* effects.c: the world that a function's host calls reach on this node. The runtime records what it answers and gives a replay the recording. */
#include "core_internal.h"
#include "outbound.h"
#include "secrets.h"

static nx_err kv_get(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_error *reterr)
{
    const nx_node *n = self;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(2 * NX_EFFECT_ANSWER_BYTES);
    nx_slice value;
    uint64_t revision;
    nx_err err = nx_fab_store_get(n->ns, store, key, c->deadline_ns, &a, &value, &revision, reterr);
    if (err == NX_OK)
        err = nx_buf_printf(c->answer, "%llu\n", (unsigned long long)revision);
    if (err == NX_OK && (err = nx_buf_append_slice(c->answer, value)) == NX_ELIMIT)
        nx_error_set(reterr, err, "the value has %zu bytes", value.n);
    return err;
}

static nx_err kv_put(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_slice value, int64_t expected, nx_error *reterr)
{
    const nx_node *n = self;
    uint64_t revision = 0;
    nx_err err = nx_fab_store_put(n->ns, store, key, value, expected, c->deadline_ns, &revision, reterr);
    return err == NX_OK ? nx_buf_printf(c->answer, "%llu\n", (unsigned long long)revision) : err;
}

static nx_err kv_delete(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, int64_t expected, nx_error *reterr)
{
    const nx_node *n = self;
    return nx_fab_store_delete(n->ns, store, key, expected, c->deadline_ns, reterr);
}

static nx_err http_request(void *self, const nx_effect_call *c, nx_slice request, nx_error *reterr)
{
    const nx_node *n = self;
    return nx_core_outbound_request(n->outbound, c, request, reterr);
}

static nx_err secret_get(void *self, const nx_effect_call *c, nx_slice name, nx_error *reterr)
{
    const nx_node *n = self;
    return nx_core_secret_answer(n->secrets, n->ns, c, name, reterr);
}

static nx_err keyed_digest(void *self, nx_slice name, nx_slice request, nx_sha256 *ret, nx_error *reterr)
{
    const nx_node *n = self;
    return nx_core_secret_request_digest(n->secrets, n->ns, name, request, ret, reterr);
}

const nx_effect_ops nx_core_effect_ops = {
    .http_request = http_request,
    .kv_get = kv_get,
    .kv_put = kv_put,
    .kv_delete = kv_delete,
    .secret_get = secret_get,
    .keyed_digest = keyed_digest,
};

const nx_effect_ops *nx_core_effects(void) { return &nx_core_effect_ops; }

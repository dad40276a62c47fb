/* fuzz_effects.c: sequences of host calls of module nexus by a hostile guest, whose memory ends where the sanitizers look, over a world and a
 * recording that are hostile too. Each sequence is made twice: the second time from the recording of the first, which must come out the same. */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "effects/effects.h"

#define MEM_BYTES 4096u
#define CALLS_MAX 48u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the world: answers and errors follow from the input */

static nx_err answer_from(void *self, const nx_effect_call *c, nx_error *reterr)
{
    static const nx_err errs[] = {NX_OK, NX_OK, NX_OK, NX_ENOENT, NX_ECONFLICT, NX_EDENIED, NX_EUNAVAIL, NX_ELIMIT, NX_ETIMEOUT, NX_EINVAL, NX_EBUG};
    nx_rt_bytes *in = self;
    nx_err err = errs[nx_rt_take_byte(in) % NX_ARRAY_LEN(errs)];
    size_t n = (size_t)nx_rt_take_byte(in) * nx_rt_take_byte(in);
    if (err) return nx_error_set(reterr, err, "%.*s", (int)(n % 500), "the world says: \x01\xff%s %n");
    for (size_t i = 0; i < n; i += 16)
        if (nx_buf_append(c->answer, "0123456789\nabcd\0", 16)) return NX_ENOMEM;
    return NX_OK; /* `keep` is for secrets: of any other answer the record keeps all */
}

static nx_err http_request(void *self, const nx_effect_call *c, nx_slice request, nx_error *reterr)
{
    if (request.n > NX_EFFECT_REQUEST_BYTES) abort();
    return answer_from(self, c, reterr);
}

static nx_err kv_get(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_error *reterr)
{
    if (!nx_kv_store_is_valid(store) || !nx_kv_key_is_valid(key)) abort();
    return answer_from(self, c, reterr);
}

static nx_err kv_put(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_slice value, int64_t expected, nx_error *reterr)
{
    if (!nx_kv_store_is_valid(store) || !nx_kv_key_is_valid(key) || value.n > NX_KV_VALUE_BYTES || expected < NX_KV_ANY) abort();
    return answer_from(self, c, reterr);
}

static nx_err kv_delete(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, int64_t expected, nx_error *reterr)
{
    if (!nx_kv_store_is_valid(store) || !nx_kv_key_is_valid(key) || expected < NX_KV_ANY || expected == 0) abort();
    return answer_from(self, c, reterr);
}

static nx_err secret_get(void *self, const nx_effect_call *c, nx_slice name, nx_error *reterr)
{
    (void)self;
    (void)reterr;
    if (name.n > NX_SECRET_NAME_BYTES) abort();
    nx_err err = nx_buf_append(c->answer, "hunter2", 7); /* the same at every time, as a secret is */
    return err ? err : nx_buf_append(c->keep, "keyed", 5);
}

static nx_err keyed_digest(void *self, nx_slice name, nx_slice request, nx_sha256 *ret, nx_error *reterr)
{
    (void)self;
    (void)reterr;
    *ret = nx_effect_request_digest(request, name); /* another than without a key, and the same at every time */
    return NX_OK;
}

static const nx_effect_ops ops = {http_request, kv_get, kv_put, kv_delete, secret_get, keyed_digest};
static const nx_slice hosts[] = {{"https://a.b", 11}}, stores[] = {{"default", 7}}, types[] = {{"t", 1}, {"a.>", 3}}, secrets[] = {{"KEY", 3}};
static const nx_grants grants = {hosts, 1, stores, 1, types, 2, secrets, 1};

/* ---- the guest */

/* Memory begins with what many calls want, so that some get through; the input overwrites what it likes. */
static const char texts[] = "default\0counter/1\0GET https://a.b/c?d\nx: y\n\nbody\0t\nsubject: s\npartitionkey: p\n\ndata\0KEY\0a.b\n\n";

static uint64_t take_value(nx_rt_bytes *in, char type)
{
    static const uint64_t interesting[] = {0, 1, 7, 8, 9, 18, 49, 30, 86, 3, MEM_BYTES - 1, MEM_BYTES, MEM_BYTES + 1, 0x7fffffff, 0xffffffff, 0};
    uint8_t tag = nx_rt_take_byte(in);
    uint64_t v = tag < 128 ? interesting[tag % 16] : tag < 224 ? (uint64_t)nx_rt_take_byte(in)
                                                               : (uint64_t)nx_rt_take_byte(in) << 56 | (uint64_t)nx_rt_take_byte(in) << 24 | nx_rt_take_byte(in);
    if (type == 'l' && tag >= 224) return (uint64_t) - (int64_t)nx_rt_take_byte(in);
    return type == 'l' ? v : (uint32_t)v;
}

static void run_guest(nx_rt_world *w, nx_rt_bytes in, uint8_t *mem)
{
    memset(mem, 0, MEM_BYTES);
    memcpy(mem, texts, sizeof texts);
    unsigned first = 0;
    while (!nx_rt_wasi_fns[first].grant) first++; /* those of module nexus stand at the end */
    for (unsigned i = 0; i < CALLS_MAX && in.p < in.end && !w->end; i++) {
        const nx_rt_wasi_fn *fn = &nx_rt_wasi_fns[first + nx_rt_take_byte(&in) % (nx_rt_wasi_n_fns - first)];
        uint64_t args[NX_RT_WASI_PARAMS_MAX] = {0};
        for (unsigned k = 0; fn->params[k]; k++) args[k] = take_value(&in, fn->params[k]);
        if (nx_rt_take_byte(&in) & 1) mem[nx_rt_take_byte(&in)] = nx_rt_take_byte(&in);
        uint8_t status = nx_rt_wasi_call(w, fn, mem, MEM_BYTES, args);
        if ((status == NX_WASI_END) != (w->end != NX_RT_END_NONE)) abort();
    }
}

static void compare(const nx_outcome *a, const nx_outcome *b)
{
    nx_buf text_a = NX_BUF_INIT(1u << 16), text_b = NX_BUF_INIT(1u << 16);
    int64_t index = -1;
    if (memcmp(&a->calls_sha256, &b->calls_sha256, sizeof a->calls_sha256) == 0 && a->n_emitted == b->n_emitted) return;
    (void)nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_buf_view(&a->calls)}, &(nx_rt_trace){.calls = nx_buf_view(&b->calls)}, false, &index, &text_a, &text_b);
    (void)fprintf(stderr, "emitted %u and %u; call %lld: %.*s, then %.*s\n", a->n_emitted, b->n_emitted, (long long)index, NX_SLICE_FMT(nx_buf_view(&text_a)),
                  NX_SLICE_FMT(nx_buf_view(&text_b)));
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_rt_scratch *scratch;
    if (!scratch) scratch = nx_rt_scratch_new();
    uint8_t *mem = malloc(MEM_BYTES);
    if (!mem || !scratch) abort();
    nx_rt_bytes in = nx_rt_bytes_of(nx_slice_make(data, size)), world = in;
    nx_attempt a, again;
    nx_rt_world w;
    nx_attempt_init(&a);
    a.effects = NX_EFFECTS_LIVE;
    a.grants = nx_rt_take_byte(&in) & 1 ? &grants : NULL;
    a.effect_ops = &ops;
    a.effect_self = &world;
    nx_rt_world_init(&w, &a, scratch);
    run_guest(&w, in, mem);
    nx_rt_end end = w.end;
    nx_rt_world_finish(&w);
    nx_rt_world_done(&w);
    if (a.out.n_emitted > NX_RUN_EMITTED_MAX || a.out.n_effects > NX_EFFECT_ATTEMPT_CALLS) abort();

    nx_attempt_init(&again);
    again.is_replay = true;
    again.effect_ops = &ops;
    again.effect_self = &world;
    again.recorded = a.out.effects;
    again.n_recorded = a.out.n_effects;
    nx_rt_world_init(&w, &again, scratch);
    run_guest(&w, in, mem);
    if (w.end != end) abort();
    nx_rt_world_finish(&w);
    nx_rt_world_done(&w);
    compare(&a.out, &again.out);
    nx_attempt_done(&a);
    nx_attempt_done(&again);
    free(mem);
    return 0;
}

/* effects/calls.c: the functions of module nexus that ask the world: arguments checked, request in its canonical form, then answered by policy.
 * What is refused here follows from the arguments alone, so a replay refuses it too and nothing is recorded. */
#include "effects/effects.h"

#include "nx/event.h"

/* [ptr, ptr + n) of the guest; false: FAULT. */
static bool guest_slice(const nx_rt_call *c, unsigned arg, nx_slice *ret)
{
    const uint8_t *p = nx_rt_mem_at(c, c->args[arg], c->args[arg + 1]);
    if (p) *ret = nx_slice_make(p, (size_t)c->args[arg + 1]);
    return p != NULL;
}

static uint8_t out_of_memory(nx_rt_world *w)
{
    w->end = NX_RT_END_NOMEM;
    return NX_WASI_END;
}

static bool stands_in(const nx_slice *list, unsigned n, nx_slice s)
{
    for (unsigned i = 0; i < n; i++)
        if (nx_slice_eq(list[i], s)) return true;
    return false;
}

/* ---- http */

static nx_err live_http(const nx_rt_effect_ask *ask, const nx_effect_ops *ops, void *self, const nx_effect_call *call, nx_error *reterr)
{
    if (!ops->http_request) return nx_error_set(reterr, NX_EUNAVAIL, "this node makes no outbound requests");
    return ops->http_request(self, call, ask->a, reterr);
}

/* "https://api.example.com" of "GET https://api.example.com/x?y\n…". */
static nx_slice origin_of(nx_slice request)
{
    nx_slice url, line = nx_slice_split(request, '\n', &url);
    (void)nx_slice_split(line, ' ', &url);
    const char *slashes = url.n > 3 ? memmem(url.p, url.n, "://", 3) : NULL;
    size_t n = slashes ? (size_t)(slashes - url.p) + 3 : url.n;
    while (slashes && n < url.n && !strchr("/?#\\ ", url.p[n])) n++;
    return nx_slice_sub(url, 0, n);
}

/* (message, length) */
NX_RT_HANDLER(nexus_http_request)
{
    nx_rt_effects *e = nx_rt_effects_of(c->w);
    nx_slice message, rest;
    if (!e) return NX_WASI_END;
    if (!guest_slice(c, 0, &message)) return nx_rt_effect_refuse(e, NX_EFFECT_FAULT, "the request lies outside the memory");
    if (message.n > NX_EFFECT_REQUEST_BYTES)
        return nx_rt_effect_refuse(e, NX_EFFECT_LIMIT, "a request of %zu bytes; %u are allowed", message.n, NX_EFFECT_REQUEST_BYTES);
    nx_buf_clear(&e->request);
    if (nx_buf_append_slice(&e->request, message) != NX_OK) return out_of_memory(c->w);
    message = nx_buf_view(&e->request);
    const nx_grants *g = c->w->attempt->grants;
    nx_rt_effect_ask ask = {
        .name = "http.request",
        .grant = "allowed_outbound_hosts",
        .wanted = origin_of(message),
        .show = nx_slice_split(nx_slice_split(message, '\n', &rest), '?', &rest), /* queries carry keys */
        .is_granted = g && g->n_outbound_hosts,                                   /* which one is the op's to say: redirects lead elsewhere */
        .live = live_http,
        .a = message,
    };
    return nx_rt_effect(c, e, &ask);
}

/* ---- key-value */

static nx_err no_stores(nx_error *reterr) { return nx_error_set(reterr, NX_EUNAVAIL, "this node has no key-value stores"); }

static nx_err live_kv_get(const nx_rt_effect_ask *ask, const nx_effect_ops *ops, void *self, const nx_effect_call *call, nx_error *reterr)
{
    return ops->kv_get ? ops->kv_get(self, call, ask->a, ask->b, reterr) : no_stores(reterr);
}

static nx_err live_kv_put(const nx_rt_effect_ask *ask, const nx_effect_ops *ops, void *self, const nx_effect_call *call, nx_error *reterr)
{
    return ops->kv_put ? ops->kv_put(self, call, ask->a, ask->b, ask->value, ask->expected, reterr) : no_stores(reterr);
}

static nx_err live_kv_delete(const nx_rt_effect_ask *ask, const nx_effect_ops *ops, void *self, const nx_effect_call *call, nx_error *reterr)
{
    return ops->kv_delete ? ops->kv_delete(self, call, ask->a, ask->b, ask->expected, reterr) : no_stores(reterr);
}

static bool put_expected(nx_buf *b, int64_t expected)
{
    if (expected == NX_KV_ANY) return nx_buf_append_cstr(b, "\nany") == NX_OK;
    return nx_buf_append_char(b, '\n') == NX_OK && nx_buf_append_u64(b, (uint64_t)expected) == NX_OK;
}

/* Store and key from the first four arguments into the request, "STORE/KEY"; then what stands behind it: "\nEXPECTED", "\n" and the value. */
static uint8_t kv_request(nx_rt_call *c, nx_rt_effects *e, nx_rt_effect_ask *ask, const int64_t *expected, const nx_slice *value)
{
    nx_slice store, key;
    if (!guest_slice(c, 0, &store) || !guest_slice(c, 2, &key)) return nx_rt_effect_refuse(e, NX_EFFECT_FAULT, "store or key lies outside the memory");
    if (store.n == 0) store = NX_SLICE("default");
    if (!nx_kv_store_is_valid(store))
        return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "a store is named by lower-case letters, digits, - and _, at most %d", NX_KV_STORE_BYTES);
    if (!nx_kv_key_is_valid(key))
        return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "a key is made of letters, digits and - / _ = . (no . first, last or twice in a row), at most %d", NX_KV_KEY_BYTES);
    nx_buf *b = &e->request;
    nx_buf_clear(b);
    bool is_there = nx_buf_append_slice(b, store) == NX_OK && nx_buf_append_char(b, '/') == NX_OK && nx_buf_append_slice(b, key) == NX_OK;
    if (is_there && expected) is_there = put_expected(b, *expected);
    if (is_there && value) is_there = nx_buf_append_char(b, '\n') == NX_OK && nx_buf_append_slice(b, *value) == NX_OK;
    if (!is_there) return out_of_memory(c->w);
    nx_slice all = nx_buf_view(b);
    ask->a = ask->wanted = nx_slice_sub(all, 0, store.n);
    ask->b = nx_slice_sub(all, store.n + 1, key.n);
    ask->show = nx_slice_sub(all, 0, store.n + 1 + key.n);
    if (value) ask->value = nx_slice_sub(all, all.n - value->n, value->n);
    if (expected) ask->expected = *expected;
    ask->grant = "key_value_stores";
    const nx_grants *g = c->w->attempt->grants;
    ask->is_granted = g && stands_in(g->stores, g->n_stores, ask->a);
    return NX_EFFECT_OK;
}

/* (store, length, key, length) */
NX_RT_HANDLER(nexus_kv_get)
{
    nx_rt_effects *e = nx_rt_effects_of(c->w);
    nx_rt_effect_ask ask = {.name = "kv.get", .live = live_kv_get};
    if (!e) return NX_WASI_END;
    uint8_t status = kv_request(c, e, &ask, NULL, NULL);
    return status ? status : nx_rt_effect(c, e, &ask);
}

/* (store, length, key, length, value, length, expected revision) */
NX_RT_HANDLER(nexus_kv_put)
{
    nx_rt_effects *e = nx_rt_effects_of(c->w);
    nx_rt_effect_ask ask = {.name = "kv.put", .live = live_kv_put};
    nx_slice value;
    int64_t expected = (int64_t)c->args[6];
    if (!e) return NX_WASI_END;
    if (!guest_slice(c, 4, &value)) return nx_rt_effect_refuse(e, NX_EFFECT_FAULT, "the value lies outside the memory");
    if (value.n > NX_KV_VALUE_BYTES) return nx_rt_effect_refuse(e, NX_EFFECT_LIMIT, "a value of %zu bytes; %u are allowed", value.n, NX_KV_VALUE_BYTES);
    if (expected < NX_KV_ANY) return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "the expected revision is -1 (any), 0 (none) or a revision");
    uint8_t status = kv_request(c, e, &ask, &expected, &value);
    return status ? status : nx_rt_effect(c, e, &ask);
}

/* (store, length, key, length, expected revision) */
NX_RT_HANDLER(nexus_kv_delete)
{
    nx_rt_effects *e = nx_rt_effects_of(c->w);
    nx_rt_effect_ask ask = {.name = "kv.delete", .live = live_kv_delete};
    int64_t expected = (int64_t)c->args[4];
    if (!e) return NX_WASI_END;
    if (expected < NX_KV_ANY || expected == 0) return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "the expected revision is -1 (any) or a revision");
    uint8_t status = kv_request(c, e, &ask, &expected, NULL);
    return status ? status : nx_rt_effect(c, e, &ask);
}

/* ---- secrets */

static nx_err live_secret(const nx_rt_effect_ask *ask, const nx_effect_ops *ops, void *self, const nx_effect_call *call, nx_error *reterr)
{
    if (!ops->secret_get) return nx_error_set(reterr, NX_EUNAVAIL, "this node has no secrets");
    return ops->secret_get(self, call, ask->a, reterr);
}

/* (name, length) */
NX_RT_HANDLER(nexus_secret_get)
{
    nx_rt_effects *e = nx_rt_effects_of(c->w);
    nx_slice name;
    if (!e) return NX_WASI_END;
    if (!guest_slice(c, 0, &name)) return nx_rt_effect_refuse(e, NX_EFFECT_FAULT, "the name lies outside the memory");
    if (name.n == 0 || name.n > NX_SECRET_NAME_BYTES || !nx_slice_is_utf8(name))
        return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "a secret's name is text of 1 to %d bytes", NX_SECRET_NAME_BYTES);
    nx_buf_clear(&e->request);
    if (nx_buf_append_slice(&e->request, name) != NX_OK) return out_of_memory(c->w);
    name = nx_buf_view(&e->request);
    const nx_grants *g = c->w->attempt->grants;
    nx_rt_effect_ask ask = {
        .name = "secret.get",
        .grant = "secrets",
        .wanted = name,
        .show = name,
        .is_granted = g && stands_in(g->secrets, g->n_secrets, name),
        .is_secret = true,
        .live = live_secret,
        .a = name,
    };
    return nx_rt_effect(c, e, &ask);
}

/* ---- the answer of the last call */

NX_RT_HANDLER(nexus_answer_size)
{
    const nx_rt_effects *e = nx_rt_effects_of(c->w);
    if (!e) return NX_WASI_END;
    c->w->value = (uint32_t)e->view.n; /* at most NX_EFFECT_ANSWER_BYTES */
    if (!e->is_secret) nx_rt_trace_value(c->w, c->w->value);
    return NX_EFFECT_OK;
}

/* (to, offset, length) */
NX_RT_HANDLER(nexus_answer_read)
{
    nx_rt_effects *e = nx_rt_effects_of(c->w);
    if (!e) return NX_WASI_END;
    uint64_t offset = c->args[1], n = c->args[2];
    uint8_t *to = nx_rt_mem_at(c, c->args[0], n);
    if (!e->is_secret) {
        nx_rt_trace_value(c->w, offset);
        nx_rt_trace_value(c->w, n);
    }
    if (!to) return NX_EFFECT_FAULT;
    if (offset > e->view.n || n > e->view.n - offset) return NX_EFFECT_INVALID;
    if (n) memcpy(to, e->view.p + offset, (size_t)n);
    if (!e->is_secret) nx_rt_trace_bytes(c->w, to, (size_t)n);
    return NX_EFFECT_OK;
}

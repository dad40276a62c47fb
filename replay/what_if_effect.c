/* what_if_effect.c: the answers that effects would have had. */
#include "what_if_effect.h"
#include "nx/effect.h"
#include "nx/outbound.h"

/* One effect that is being changed. */
typedef struct change {
    const nx_effect *was;
    nx_replay_effect *becomes;
    nx_slice text; /* of the answer, JSON */
    const nx_json *answer;
    unsigned index;
    nx_arena *a;
    nx_error *reterr;
} change;

static nx_err refuse(const change *c, const char *why)
{
    return nx_error_set(c->reterr, NX_EINVAL, "effect %u (%.*s): %s", c->index, NX_SLICE_FMT(c->was->name), why);
}

static nx_err take(const change *c, nx_buf *b)
{
    c->becomes->status = NX_EFFECT_OK;
    c->becomes->answer = nx_arena_dup(c->a, nx_buf_view(b));
    return c->becomes->answer.p ? NX_OK : nx_error_set(c->reterr, NX_ENOMEM, "out of memory for the answer of an effect");
}

/* Strings as their bytes, everything else as its JSON. */
static nx_err append_value(const change *c, const char *key, nx_buf *out)
{
    const nx_json *v = nx_json_get(c->answer, key);
    nx_slice text;
    if (nx_json_typeof(v) == NX_JSON_STR)
        return nx_buf_append_slice(out, nx_json_str(v));
    nx_err err = nx_json_member_bytes(c->text, nx_slice_cstr(key), &text);
    return err == NX_OK ? nx_buf_append_slice(out, text) : err;
}

static nx_err fail_with(const change *c, nx_slice name)
{
    for (unsigned s = NX_EFFECT_DENIED; s <= NX_EFFECT_UNAVAILABLE; s++) {
        if (!nx_slice_eq_cstr(name, nx_effect_status_name((nx_effect_status)s)))
            continue;
        c->becomes->status = (nx_effect_status)s;
        c->becomes->answer = NX_SLICE("what if it had failed");
        return NX_OK;
    }
    return refuse(c, "\"error\" is one of DENIED, NOT_FOUND, CONFLICT, INVALID, LIMIT, TIMEOUT, UNAVAILABLE");
}

/* ---- http.request: STATUS LF *(name ": " value LF) LF body --------------------------------------------------------------------------------------- */

typedef struct headers {
    const change *c;
    nx_buf *out;
} headers;

static bool is_field(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' && s.p[i] != '\t')
            return false;
    return true;
}

static int add_header(void *self, nx_slice key, const nx_json *value)
{
    headers *h = self;
    nx_slice v = nx_json_str(value);
    if (nx_json_typeof(value) == NX_JSON_NULL) /* taken away */
        return 0;
    if (!v.p || !is_field(v) || !is_field(key) || key.n == 0 || memchr(key.p, ':', key.n))
        return refuse(h->c, "headers are strings without control characters");
    for (size_t i = 0; i < key.n; i++) {
        char lower = key.p[i] >= 'A' && key.p[i] <= 'Z' ? (char)(key.p[i] + ('a' - 'A')) : key.p[i];
        if (nx_buf_append_char(h->out, lower) != NX_OK)
            return NX_ELIMIT;
    }
    return nx_buf_printf(h->out, ": %.*s\n", NX_SLICE_FMT(v));
}

static int find_name(void *self, nx_slice key, const nx_json *value)
{
    (void)value;
    return nx_slice_ieq(*(nx_slice *)self, key);
}

/* The recorded headers that are not named anew, then the new ones. */
static nx_err append_headers(const change *c, nx_slice recorded, nx_buf *out)
{
    const nx_json *named = nx_json_get(c->answer, "headers");
    headers h = {c, out};
    nx_err err = NX_OK;
    while (recorded.n && err == NX_OK) {
        nx_slice rest, line = nx_slice_split(recorded, '\n', &recorded), name = nx_slice_split(line, ':', &rest);
        if (!nx_json_each(named, find_name, &name))
            err = nx_buf_printf(out, "%.*s\n", NX_SLICE_FMT(line));
    }
    return err == NX_OK ? nx_json_each(named, add_header, &h) : err;
}

/* An answer taken apart; of a call that failed: 200, no headers, no body. */
static void split_answer(const nx_effect *e, nx_slice *status, nx_slice *fields, nx_slice *body)
{
    *status = NX_SLICE("200");
    *fields = *body = NX_SLICE_NULL;
    if (e->status != NX_EFFECT_OK)
        return;
    nx_slice rest;
    *status = nx_slice_split(e->answer, '\n', &rest);
    if (rest.n && *rest.p == '\n') {
        *body = nx_slice_sub(rest, 1, rest.n);
        return;
    }
    const char *end = rest.n ? memmem(rest.p, rest.n, "\n\n", 2) : NULL;
    *fields = end ? nx_slice_make(rest.p, (size_t)(end - rest.p)) : rest;
    *body = end ? nx_slice_sub(rest, fields->n + 2, rest.n) : NX_SLICE_NULL;
}

static nx_err answer_http(const change *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(NX_EFFECT_ANSWER_BYTES);
    nx_slice status, fields, body;
    int64_t number = nx_json_get_i64(c->answer, "status", 0);
    const nx_json *named = nx_json_get(c->answer, "headers");
    if (nx_json_get(c->answer, "status") && (number < 100 || number > 599))
        return refuse(c, "\"status\" is a number from 100 to 599");
    if (named && nx_json_typeof(named) != NX_JSON_OBJECT)
        return refuse(c, "\"headers\" is an object of strings");
    split_answer(c->was, &status, &fields, &body);
    nx_err err = number ? nx_buf_printf(&out, "%d\n", (int)number) : nx_buf_printf(&out, "%.*s\n", NX_SLICE_FMT(status));
    if (err == NX_OK)
        err = append_headers(c, fields, &out);
    if (err == NX_OK)
        err = nx_buf_append_char(&out, '\n');
    if (err == NX_OK)
        err = nx_json_get(c->answer, "body") ? append_value(c, "body", &out) : nx_buf_append_slice(&out, body);
    if (err == NX_ELIMIT)
        return refuse(c, "the answer is too long");
    return err == NX_OK ? take(c, &out) : err;
}

/* ---- kv.get: REVISION LF value ------------------------------------------------------------------------------------------------------------------ */

static nx_err answer_kv(const change *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(NX_EFFECT_ANSWER_BYTES);
    const nx_json *value = nx_json_get(c->answer, "value");
    nx_slice rest, revision = c->was->status == NX_EFFECT_OK ? nx_slice_split(c->was->answer, '\n', &rest) : NX_SLICE("1");
    if (!value)
        return refuse(c, "the answer is {\"value\": …}; null means: no such key");
    if (nx_json_typeof(value) == NX_JSON_NULL)
        return fail_with(c, NX_SLICE("NOT_FOUND"));
    nx_err err = nx_buf_printf(&out, "%.*s\n", NX_SLICE_FMT(revision));
    if (err == NX_OK)
        err = append_value(c, "value", &out);
    if (err == NX_ELIMIT)
        return refuse(c, "the value is too long");
    return err == NX_OK ? take(c, &out) : err;
}

/* ---- all of them -------------------------------------------------------------------------------------------------------------------------------- */

static int check_member(void *self, nx_slice key, const nx_json *value)
{
    const char *const *known = self;
    (void)value;
    for (; *known; known++)
        if (nx_slice_eq_cstr(key, *known))
            return 0;
    return 1;
}

static nx_err answer(const change *c)
{
    static const char *http[] = {"status", "headers", "body", "error", NULL}, *kv[] = {"value", "error", NULL}, *other[] = {"error", NULL};
    bool is_http = nx_slice_eq_cstr(c->was->name, "http.request"), is_kv = nx_slice_eq_cstr(c->was->name, "kv.get");
    nx_slice error = nx_json_get_str(c->answer, "error");
    if (nx_json_typeof(c->answer) != NX_JSON_OBJECT || nx_json_each(c->answer, check_member, is_http ? http : is_kv ? kv
                                                                                                                    : other))
        return refuse(c, is_http ? "the answer is {\"status\", \"headers\", \"body\"} or {\"error\"}" : is_kv ? "the answer is {\"value\"} or {\"error\"}"
                                                                                                              : "its answer can't be changed, only {\"error\"}");
    if (error.p)
        return fail_with(c, error);
    if (is_http)
        return answer_http(c);
    return is_kv ? answer_kv(c) : refuse(c, "its answer can't be changed, only {\"error\"}");
}

static nx_err change_one(const nx_what_if_effect *x, const nx_run *recorded, nx_arena *a, nx_replay_effect *ret, nx_error *reterr)
{
    nx_json *j = NULL;
    nx_error e = NX_ERROR_INIT;
    if (x->index >= recorded->n_effects)
        return nx_error_set(reterr, NX_EINVAL, "there is no effect %u: the run recorded %u (`nexus runs show` lists them, from 0)", x->index, recorded->n_effects);
    if (nx_json_parse(x->answer, NX_EFFECT_ANSWER_BYTES, &j, &e) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "effect %u: the answer is not JSON: %s", x->index, e.msg);
    ret->index = x->index;
    change c = {.was = &recorded->effects[x->index], .becomes = ret, .text = x->answer, .answer = j, .index = x->index, .a = a, .reterr = reterr};
    nx_err err = answer(&c);
    nx_json_free(j);
    return err;
}

nx_err nx_what_if_effects(const nx_replay_what_if *w, const nx_run *recorded, nx_arena *a, nx_replay_how *how, nx_error *reterr)
{
    nx_replay_effect *all = nx_arena_calloc(a, w->n_effects, sizeof *all);
    unsigned n = 0;
    if (!all)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory for changed effects");
    for (unsigned i = 0; i < w->n_effects; i++) {
        nx_replay_effect x;
        unsigned at = n;
        nx_err err = change_one(&w->effects[i], recorded, a, &x, reterr);
        if (err != NX_OK)
            return err;
        while (at > 0 && all[at - 1].index > x.index)
            at--;
        if (at > 0 && all[at - 1].index == x.index)
            return nx_error_set(reterr, NX_EINVAL, "effect %u is changed twice", x.index);
        memmove(all + at + 1, all + at, (n - at) * sizeof *all);
        all[at] = x;
        n++;
    }
    how->answers = all;
    how->n_answers = n;
    return NX_OK;
}

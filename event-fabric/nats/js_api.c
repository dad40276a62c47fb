/* js_api.c: requests with one or many answers, and the JetStream API over them (ADR-1): plain JSON to $JS.API.…, because nats.c 3.4.1
 * knows neither several filters nor batched direct gets. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define REPLIES_MAX 20000
#define REPLIES_BYTES (256u << 20)
#define REPEAT_NS (300 * NX_NS_PER_MS) /* until what may be asked again is, at first; each time twice as long */

void nx_fab_replies_done(nx_fab_replies *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->v[i]) /* one that was kept is gone from here */
            natsMsg_Destroy(r->v[i]);
    free(r->v);
    *r = (nx_fab_replies){0};
}

static nx_err push(nx_fab_replies *r, natsMsg *m)
{
    if (r->n == r->cap) {
        unsigned cap = r->cap ? r->cap * 2 : 4;
        natsMsg **v = cap <= REPLIES_MAX ? realloc(r->v, cap * sizeof(natsMsg *)) : NULL;

        if (!v)
            return cap <= REPLIES_MAX ? NX_ENOMEM : NX_ELIMIT;
        r->v = v;
        r->cap = cap;
    }
    r->bytes += (size_t)natsMsg_GetDataLength(m);
    if (r->bytes > REPLIES_BYTES)
        return NX_ELIMIT;
    r->v[r->n++] = m;
    return NX_OK;
}

void nx_fab_req_deliver(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *m)
{
    nx_fab_req *r;
    nx_slice status = NX_SLICE_NULL;
    bool has_status = nx_fab_msg_status(m, &status, NULL);

    pthread_mutex_lock(&f->mu);
    r = slot < NX_FAB_REQUESTS ? &f->reqs[slot] : NULL;
    if (!r || !r->is_used || r->gen != gen || r->is_done) {
        pthread_mutex_unlock(&f->mu);
        natsMsg_Destroy(m);
        return;
    }
    r->is_refused = has_status && nx_slice_eq_cstr(status, "503");
    if (r->is_refused)
        r->err = NX_EUNAVAIL;
    else
        r->err = push(&r->got, m);
    if (r->err) {
        natsMsg_Destroy(m);
        r->is_done = true;
    } else if (!r->is_batch || has_status) {
        r->is_done = true;
    }
    if (r->is_done)
        pthread_cond_signal(&r->cv);
    pthread_mutex_unlock(&f->mu);
}

void nx_fab_reqs_fail(nx_fab *f)
{
    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < NX_FAB_REQUESTS; i++) {
        nx_fab_req *r = &f->reqs[i];

        if (r->is_used && !r->is_done) {
            r->is_done = true;
            r->err = NX_EUNAVAIL;
            pthread_cond_signal(&r->cv);
        }
    }
    pthread_mutex_unlock(&f->mu);
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NX_NS_PER_S), .tv_nsec = (long)(ns % NX_NS_PER_S)};
}

static natsStatus send_locked(nx_fab_link *l, const nx_fab_ask *ask, const char *reply)
{
    natsMsg *m = NULL;
    natsStatus s;

    if (ask->is_echo)
        return natsConnection_Publish(l->nc, reply, NULL, 0);
    if (!ask->hdr_key.n)
        return natsConnection_PublishRequest(l->nc, ask->subject, reply, ask->body.p, (int)ask->body.n);
    s = natsMsg_Create(&m, ask->subject, reply, ask->body.p, (int)ask->body.n);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(m, ask->hdr_key.p, ask->hdr_value.p);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(l->nc, m);
    natsMsg_Destroy(m);
    return s;
}

nx_err nx_fab_ask_begin(nx_fab *f, const nx_fab_ask *ask, nx_fab_pending *ret, nx_error *reterr)
{
    nx_fab_req *r = NULL;
    nx_fab_link *l;
    char reply[64];
    natsStatus s;

    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[NX_FAB_AUX]);
    for (unsigned i = 0; l && i < NX_FAB_REQUESTS && !r; i++)
        if (!f->reqs[i].is_used) {
            r = &f->reqs[i];
            r->gen++;
            nx_fab_token_format(f, ask->is_echo && ask->is_hot ? NX_FAB_HOT : NX_FAB_AUX, 'q', i, r->gen, reply);
        }
    if (!r) {
        pthread_mutex_unlock(&f->mu);
        return l ? nx_error_set(reterr, NX_EBUSY, "too many requests to NATS under way") : nx_error_set(reterr, NX_EUNAVAIL, "not connected to the NATS server");
    }
    r->is_done = r->is_refused = false;
    r->is_batch = ask->is_batch;
    r->err = NX_OK;
    s = send_locked(ask->is_hot && atomic_load(&f->link[NX_FAB_HOT]) ? atomic_load(&f->link[NX_FAB_HOT]) : l, ask, reply);
    r->is_used = s == NATS_OK;
    pthread_mutex_unlock(&f->mu);
    if (s != NATS_OK)
        return nx_fab_from_nats(s, ask->is_echo ? "echo" : ask->subject, reterr);
    ret->req = r;
    ret->end_ns = nx_clock_ns() + (ask->timeout_ns ? ask->timeout_ns : NX_FAB_REQUEST_NS);
    nx_fab_loop_kick(f); /* not by this thread: without f->mu the link may go */
    return NX_OK;
}

/* Once more, under another token: should the first be answered after all, its answers are nobody's. f->mu is held. */
static void repeat_locked(nx_fab *f, const nx_fab_ask *ask, nx_fab_req *r)
{
    nx_fab_link *l = atomic_load(&f->link[NX_FAB_AUX]);
    char reply[64];

    if (!l)
        return;
    nx_fab_replies_done(&r->got);
    r->gen++;
    nx_fab_token_format(f, NX_FAB_AUX, 'q', (unsigned)(r - f->reqs), r->gen, reply);
    (void)send_locked(l, ask, reply); /* what can't be sent now is tried at the next turn */
    pthread_mutex_unlock(&f->mu);
    nx_fab_loop_kick(f);
    pthread_mutex_lock(&f->mu);
}

nx_err nx_fab_ask_end(nx_fab *f, const nx_fab_ask *ask, nx_fab_pending *p, nx_fab_replies *ret, nx_error *reterr)
{
    uint64_t wait_ns = REPEAT_NS, now = nx_clock_ns();
    nx_fab_req *r = p->req;
    unsigned seen = 0;
    int timed_out = 0;
    nx_err e;

    pthread_mutex_lock(&f->mu);
    /* It was begun. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    while (!r->is_done && now < p->end_ns) {
        bool is_last = !ask->is_repeatable || now + wait_ns >= p->end_ns;
        struct timespec end = to_timespec(is_last ? p->end_ns : now + wait_ns);

        timed_out = 0;
        while (!r->is_done && !timed_out)
            timed_out = pthread_cond_timedwait(&r->cv, &f->mu, &end);
        now = nx_clock_ns();
        wait_ns *= 2;
        if (timed_out && !is_last && r->got.n == seen)
            repeat_locked(f, ask, r);
        seen = r->got.n;
    }
    e = r->is_done ? r->err : NX_EUNAVAIL;
    if (ask->ret_is_refused)
        *ask->ret_is_refused = r->is_refused;
    *ret = r->got;
    r->got = (nx_fab_replies){0};
    r->is_used = false;
    pthread_mutex_unlock(&f->mu);
    p->req = NULL;
    if (e) {
        nx_fab_replies_done(ret);
        nx_error_set(reterr, e, "%s: %s", ask->is_echo ? "echo" : ask->subject, timed_out ? "no answer in time" : nx_err_text(e));
    }
    return e;
}

nx_err nx_fab_request(nx_fab *f, const nx_fab_ask *ask, nx_fab_replies *ret, nx_error *reterr)
{
    nx_fab_pending p = {0};
    nx_err e = nx_fab_ask_begin(f, ask, &p, reterr);

    if (ask->ret_is_refused)
        *ask->ret_is_refused = false;
    return e ? e : nx_fab_ask_end(f, ask, &p, ret, reterr);
}

/* err_code is the stable one (server/errors.json); code is in the manner of HTTP. */
nx_err nx_fab_api_error(int code, int err_code, nx_slice why)
{
    switch (err_code) {
    case 10059: /* stream not found */
    case 10014: /* consumer not found */
    case 10037: /* no message found */
        return NX_ENOENT;
    case 10058: /* stream name in use with another configuration */
    case 10065: /* subjects overlap */
    case 10071: /* wrong last sequence */
    case 10164:
        return NX_ECONFLICT;
    case 10054: /* message over the stream's maximum */
    case 10097: /* headers over 64 KiB */
        return NX_ELIMIT;
    case 10002: /* account resources */
    case 10023: /* insufficient resources */
    case 10047: /* storage resources */
    case 10122: /* account's stream bytes */
        return NX_EFULL;
    case 10077: /* store failed: the text says why */
        for (size_t i = 0; i + 7 <= why.n; i++)
            if (!memcmp(why.p + i, "maximum", 7) || !memcmp(why.p + i, "no spac", 7))
                return NX_EFULL;
        return NX_EUNAVAIL;
    default:
        break;
    }
    return code == 404 ? NX_ENOENT : code == 400 ? NX_EINVAL
                                                 : NX_EUNAVAIL;
}

nx_err nx_fab_api_answer(const char *subject, nx_fab_replies *take_got, nx_json **ret, int *ret_api_code, nx_error *reterr)
{
    natsMsg *m = take_got->v[0];
    nx_json *j = NULL;
    const nx_json *err;
    nx_err e = nx_json_parse(nx_slice_make(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m)), NX_FAB_JSON_BYTES, &j, reterr);

    nx_fab_replies_done(take_got);
    if (e) {
        nx_error_prefix(reterr, "answer to %s", subject);
        return NX_EUNAVAIL;
    }
    err = nx_json_get(j, "error");
    if (err) {
        int code = (int)nx_json_get_i64(err, "code", 500), err_code = (int)nx_json_get_i64(err, "err_code", 0);
        nx_slice why = nx_json_get_str(err, "description");

        e = nx_fab_api_error(code, err_code, why);
        if (ret_api_code)
            *ret_api_code = err_code;
        nx_error_set(reterr, e, "%s: %.*s (%d)", subject, NX_SLICE_FMT(why), err_code);
        nx_json_free(j);
        return e;
    }
    *ret = j;
    return NX_OK;
}

/* Of ours: those that change nothing. */
static bool is_question(const char *subject)
{
    return strstr(subject, ".INFO.") || strstr(subject, ".MSG.GET.");
}

nx_err nx_fab_api_within(nx_fab *f, const char *subject, nx_slice body, uint64_t timeout_ns, nx_json **ret, int *ret_api_code, nx_error *reterr)
{
    char full[NX_FAB_SUBJECT_BYTES];
    nx_fab_replies got = {0};
    nx_err e;

    if ((size_t)snprintf(full, sizeof full, "%s.%s", f->js_prefix, subject) >= sizeof full)
        return nx_error_set(reterr, NX_ELIMIT, "API subject too long");
    e = nx_fab_request(f, &(nx_fab_ask){.subject = full, .body = body, .timeout_ns = timeout_ns, .is_repeatable = is_question(full)}, &got, reterr);
    return e ? e : nx_fab_api_answer(subject, &got, ret, ret_api_code, reterr);
}

nx_err nx_fab_api(nx_fab *f, const char *subject, nx_slice body, nx_json **ret, int *ret_api_code, nx_error *reterr)
{
    return nx_fab_api_within(f, subject, body, 0, ret, ret_api_code, reterr);
}

nx_err nx_fab_stream_purge(nx_fab *f, const char *stream, const char *filter, uint64_t keep_from, nx_error *reterr)
{
    char subject[160], body[NX_FAB_SUBJECT_BYTES + 64], below[32] = "";
    nx_json *answer = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "STREAM.PURGE.%s", stream);
    if (keep_from)
        snprintf(below, sizeof below, "\"seq\":%llu", (unsigned long long)keep_from);
    if (filter)
        snprintf(body, sizeof body, "{\"filter\":\"%s\"%s%s}", filter, keep_from ? "," : "", below);
    else
        snprintf(body, sizeof body, "{%s}", below);
    e = nx_fab_api(f, subject, nx_slice_cstr(body), &answer, NULL, reterr);
    nx_json_free(answer);
    return e;
}

/* An absent member is empty. */
static nx_err decoded(const nx_json *message, const char *key, nx_arena *a, nx_slice *ret)
{
    nx_slice text = nx_json_get_str(message, key);
    char *bytes = nx_arena_alloc(a, text.n / 4 * 3 + 1);

    return bytes ? nx_base64_decode(text, ret, bytes, text.n / 4 * 3) : NX_ENOMEM;
}

nx_err nx_fab_leader_get(nx_fab *f, const char *stream, const char *request, nx_arena *a, nx_fab_kept *ret, nx_error *reterr)
{
    return nx_fab_leader_get_within(f, stream, request, 0, a, ret, reterr);
}

nx_err nx_fab_leader_get_within(nx_fab *f, const char *stream, const char *request, uint64_t timeout_ns, nx_arena *a, nx_fab_kept *ret, nx_error *reterr)
{
    char subject[128];
    nx_json *j = NULL;
    const nx_json *message;
    nx_fab_kept got = {0};
    nx_err e;

    snprintf(subject, sizeof subject, "STREAM.MSG.GET.%s", stream);
    e = nx_fab_api_within(f, subject, nx_slice_cstr(request), timeout_ns, &j, NULL, reterr);
    if (e)
        return e;
    message = nx_json_get(j, "message");
    got.seq = nx_json_get_u64(message, "seq", 0);
    got.subject = nx_arena_dup(a, nx_json_get_str(message, "subject"));
    e = got.subject.p ? decoded(message, "hdrs", a, &got.headers) : NX_ENOMEM;
    if (!e)
        e = decoded(message, "data", a, &got.data);
    nx_json_free(j);
    if (e)
        return nx_error_set(reterr, e == NX_EPARSE ? NX_ECORRUPT : e, "a message of %s: %s", stream, nx_err_text(e));
    *ret = got;
    return NX_OK;
}

bool nx_fab_kept_is_tombstone(const nx_fab_kept *k)
{
    static const char *const marks[] = {"\r\nKV-Operation: DEL\r\n", "\r\nKV-Operation: PURGE\r\n"};

    for (size_t i = 0; i < NX_ARRAY_LEN(marks); i++)
        if (k->headers.n && memmem(k->headers.p, k->headers.n, marks[i], strlen(marks[i])))
            return true;
    return false;
}

void nx_fab_settle(nx_fab *f)
{
    char subject[160];
    nx_fab_replies got = {0};

    snprintf(subject, sizeof subject, "%s.INFO", f->js_prefix);
    nx_fab_request(f, &(nx_fab_ask){.subject = subject, .is_hot = true, .timeout_ns = NX_NS_PER_S}, &got, NULL);
    nx_fab_replies_done(&got);
}

nx_err nx_fab_publish_sync(nx_fab *f, const char *subject, const nx_fab_hdr *hdr, nx_slice data, uint64_t *ret_seq, nx_error *reterr)
{
    return nx_fab_publish_within(f, subject, hdr, data, 0, ret_seq, reterr);
}

nx_err nx_fab_publish_within(nx_fab *f, const char *subject, const nx_fab_hdr *hdr, nx_slice data, uint64_t timeout_ns, uint64_t *ret_seq, nx_error *reterr)
{
    nx_fab_ask ask = {.subject = subject, .body = data, .timeout_ns = timeout_ns};

    if (hdr && !nx_fab_hdr_split(hdr, &ask.hdr_key, &ask.hdr_value))
        return nx_error_set(reterr, NX_EINVAL, "a header value holds a line break");
    return nx_fab_publish_asked(f, &ask, ret_seq, reterr);
}

nx_err nx_fab_publish_asked(nx_fab *f, const nx_fab_ask *ask, uint64_t *ret_seq, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_fab_ack ack;
    nx_err e = nx_fab_request(f, ask, &got, reterr);

    if (e)
        return e;
    nx_fab_ack_parse(nx_slice_make(natsMsg_GetData(got.v[0]), (size_t)natsMsg_GetDataLength(got.v[0])), &ack);
    nx_fab_replies_done(&got);
    if (ack.err)
        return nx_error_set(reterr, ack.err, "%s: %s (%d)", ask->subject, ack.why, ack.err_code);
    if (ret_seq)
        *ret_seq = ack.seq;
    return NX_OK;
}

/* ---- streams ------------------------------------------------------------------------------------------------------------------------------ */

/* The server lists subjects in pages. */
nx_err nx_fab_stream_subjects(nx_fab *f, const char *stream, const char *filter, nx_fab_subject_fn fn, void *self, nx_error *reterr)
{
    char subject[128], body[NX_FAB_SUBJECT_BYTES + 64];
    uint64_t offset = 0, total = 1;

    snprintf(subject, sizeof subject, "STREAM.INFO.%s", stream);
    while (offset < total) {
        nx_json *j = NULL;
        const nx_json *subjects;
        nx_err e;

        snprintf(body, sizeof body, "{\"subjects_filter\":\"%s\",\"offset\":%llu}", filter, (unsigned long long)offset);
        e = nx_fab_api(f, subject, nx_slice_cstr(body), &j, NULL, reterr);
        if (e)
            return e;
        subjects = nx_json_get(nx_json_get(j, "state"), "subjects");
        nx_json_each(subjects, fn, self);
        total = nx_json_get_u64(j, "total", 0);
        offset += nx_json_len(subjects) ? nx_json_len(subjects) : total;
        nx_json_free(j);
    }
    return NX_OK;
}

nx_err nx_fab_stream_state_get(nx_fab *f, const char *stream, nx_fab_stream_state *ret, nx_error *reterr)
{
    char subject[128];
    nx_json *j = NULL;
    const nx_json *st;
    nx_err e;

    snprintf(subject, sizeof subject, "STREAM.INFO.%s", stream);
    e = nx_fab_api(f, subject, NX_SLICE_NULL, &j, NULL, reterr);
    if (e)
        return e;
    st = nx_json_get(j, "state");
    *ret = (nx_fab_stream_state){
        .messages = nx_json_get_u64(st, "messages", 0),
        .bytes = nx_json_get_u64(st, "bytes", 0),
        .first_seq = nx_json_get_u64(st, "first_seq", 0),
        .last_seq = nx_json_get_u64(st, "last_seq", 0),
        .max_bytes = nx_json_get_u64(nx_json_get(j, "config"), "max_bytes", 0),
    };
    if (nx_clock_parse_rfc3339(nx_json_get_str(st, "first_ts"), &ret->first_wall_ns))
        ret->first_wall_ns = 0; /* an empty stream's is the year 1 */
    nx_json_free(j);
    return NX_OK;
}

static bool is_kept(const char *const *keep, nx_slice key)
{
    for (; keep && *keep; keep++)
        if (nx_slice_eq_cstr(key, *keep))
            return true;
    return false;
}

struct merge {
    const nx_json *other;
    const char *const *keep;
    nx_jw w;
    bool differs, is_second;
};

/* First pass over what is there: its own value, or the wanted one. Second pass over what is wanted: keys that were not there. */
static int merge_key(void *self, nx_slice key, const nx_json *value)
{
    struct merge *m = self;
    char name[128];
    const nx_json *other;
    nx_buf was = NX_BUF_INIT(1 << 20), is = NX_BUF_INIT(1 << 20);

    if (nx_slice_to_cstr(key, name, sizeof name))
        return 0;
    other = nx_json_get(m->other, name);
    if (m->is_second) {
        if (other)
            return 0;
        m->differs = true;
    }
    nx_jw_key_slice(&m->w, key);
    nx_json_dump(value, &was);
    if (!m->is_second && other && !is_kept(m->keep, key)) {
        nx_json_dump(other, &is);
        if (!nx_slice_eq(nx_buf_view(&was), nx_buf_view(&is)))
            m->differs = true;
        nx_jw_raw(&m->w, nx_buf_view(&is));
    } else {
        nx_jw_raw(&m->w, nx_buf_view(&was));
    }
    nx_buf_done(&was);
    nx_buf_done(&is);
    return 0;
}

static void note_version(nx_fab *f, const nx_json *config)
{
    nx_slice v = nx_json_get_str(nx_json_get(config, "metadata"), "_nats.ver");

    if (v.n && !f->server_version[0])
        nx_slice_to_cstr(v, f->server_version, sizeof f->server_version);
}

nx_err nx_fab_json_merge(const nx_json *there, nx_slice want, const char *const *keep, nx_buf *out, bool *ret_differs, nx_error *reterr)
{
    struct merge m = {.keep = keep};
    nx_json *wanted = NULL;
    nx_err e = nx_json_parse(want, NX_FAB_JSON_BYTES, &wanted, reterr);

    if (e)
        return e;
    m.w = (nx_jw)NX_JW_INIT(out);
    nx_jw_object(&m.w);
    m.other = wanted;
    nx_json_each(there, merge_key, &m);
    m.is_second = true;
    m.other = there;
    nx_json_each(wanted, merge_key, &m);
    nx_jw_object_end(&m.w);
    nx_json_free(wanted);
    if (ret_differs)
        *ret_differs = m.differs;
    return nx_jw_err(&m.w);
}

nx_err nx_fab_stream_ensure(nx_fab *f, const char *stream, nx_slice want, const char *const *keep, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_FAB_JSON_BYTES);
    nx_json *info = NULL, *answer = NULL;
    bool differs = false;
    char subject[160];
    nx_err e;

    snprintf(subject, sizeof subject, "STREAM.INFO.%s", stream);
    e = nx_fab_api(f, subject, NX_SLICE_NULL, &info, NULL, reterr);
    if (e == NX_ENOENT) {
        snprintf(subject, sizeof subject, "STREAM.CREATE.%s", stream);
        e = nx_fab_api(f, subject, want, &answer, NULL, reterr);
        if (!e)
            note_version(f, nx_json_get(answer, "config"));
        nx_json_free(answer);
        return e;
    }
    if (e)
        return e;
    note_version(f, nx_json_get(info, "config"));
    e = nx_fab_json_merge(nx_json_get(info, "config"), want, keep, &text, &differs, reterr);
    nx_json_free(info);
    if (e || !differs)
        return e;
    snprintf(subject, sizeof subject, "STREAM.UPDATE.%s", stream);
    e = nx_fab_api(f, subject, nx_buf_view(&text), &answer, NULL, reterr);
    nx_json_free(answer);
    return e;
}

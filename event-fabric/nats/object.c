/* object.c: artifacts and large run records, in the published NATS Object Store layout (ADR-20): stream OBJ_<bucket>, chunks of 128 KiB on
 * $O.<bucket>.C.<nuid>, one metadata message on $O.<bucket>.M.<base64url(name)>. An object's name is the SHA-256 of its bytes, so it never
 * changes; its metadata is stored anew when it is put once more, so that its time tells when somebody wanted it last. */
#include "nats/lookup.h"
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_BYTES (128u << 10)
#define OBJECT_BYTES (256u << 20)
#define WINDOW 16 /* chunks on their way */

static nx_err ensure(nx_fab_ns *n, const nx_fab_bucket *bucket, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "max_bytes", "max_age", "sources", "mirror", NULL};
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    nx_err e = nx_buf_printf(&b,
                             "{\"name\":\"%s\",\"subjects\":[\"$O.%s.C.>\",\"$O.%s.M.>\"],\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"new\",\"max_consumers\":-1,"
                             "\"max_bytes\":-1,\"num_replicas\":%u,\"allow_direct\":true,\"allow_rollup_hdrs\":true}",
                             bucket->stream, bucket->name, bucket->name, n->o.replicas ? n->o.replicas : 1);

    return e ? e : nx_fab_stream_ensure(n->f, bucket->stream, nx_buf_view(&b), keep, reterr);
}

nx_err nx_fab_obj_ensure(nx_fab_ns *n, nx_error *reterr)
{
    nx_err e = ensure(n, &n->artifacts, reterr);

    return e ? e : ensure(n, &n->spills, reterr);
}

/* base64url with padding, as the layout has it. */
static size_t encode64(nx_slice in, char *out)
{
    size_t n = nx_base64_encode(in, true, out);

    while (n % 4)
        out[n++] = '=';
    out[n] = 0;
    return n;
}

static void meta_subject(const nx_fab_bucket *b, const char *name, char *out, size_t out_bytes)
{
    char coded[128];

    encode64(nx_slice_cstr(name), coded);
    snprintf(out, out_bytes, "$O.%s.M.%s", b->name, coded);
}

/* NX_ENOENT: no such object, or a deleted one. */
static nx_err get_meta(nx_fab_ns *n, const nx_fab_bucket *b, const char *name, nx_json **ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    char meta[256], body[320];
    nx_fab_kept k;
    nx_json *j = NULL;
    nx_err e;

    meta_subject(b, name, meta, sizeof meta);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"%s\"}", meta);
    e = nx_fab_leader_get(n->f, b->stream, body, &a, &k, reterr);
    if (e)
        return e == NX_ENOENT ? nx_error_set(reterr, NX_ENOENT, "no artifact %s", name) : e;
    e = nx_json_parse(k.data, 1 << 16, &j, reterr);
    if (e == NX_EPARSE)
        e = nx_error_set(reterr, NX_ECORRUPT, "the metadata of artifact %s is damaged", name);
    if (!e && nx_json_get_bool(j, "deleted", false)) {
        nx_json_free(j);
        return nx_error_set(reterr, NX_ENOENT, "artifact %s was deleted", name);
    }
    if (!e)
        *ret = j;
    return e;
}

static bool has(nx_fab_ns *n, const nx_fab_bucket *b, const nx_sha256 *digest)
{
    char name[NX_SHA256_HEX + 1];
    nx_json *j = NULL;
    bool is_there;

    nx_sha256_hex(digest, name);
    is_there = !get_meta(n, b, name, &j, NULL);
    nx_json_free(j);
    return is_there;
}

bool nx_fab_artifact_has(nx_fab_ns *n, const nx_sha256 *digest)
{
    return has(n, &n->artifacts, digest);
}

/* ---- put ---------------------------------------------------------------------------------------------------------------------------------------- */

struct window {
    pthread_mutex_t mu;
    pthread_cond_t cv;
    unsigned inflight;
    nx_err err;
};

struct chunk_pub {
    nx_fab_pub pub;
    bool is_busy;
};

static void chunk_done(nx_fab_pub *p)
{
    struct window *w = p->owner;
    struct chunk_pub *c = (struct chunk_pub *)p;

    pthread_mutex_lock(&w->mu);
    if (p->err && !w->err)
        w->err = p->err;
    c->is_busy = false;
    w->inflight--;
    pthread_cond_signal(&w->cv);
    pthread_mutex_unlock(&w->mu);
}

static struct chunk_pub *free_place(struct window *w, struct chunk_pub *pubs)
{
    struct chunk_pub *c = NULL;

    pthread_mutex_lock(&w->mu);
    while (!w->err && w->inflight == WINDOW)
        pthread_cond_wait(&w->cv, &w->mu); /* bounded: every publish ends within 5 s */
    for (unsigned i = 0; !w->err && i < WINDOW && !c; i++)
        if (!pubs[i].is_busy)
            c = &pubs[i];
    if (c) {
        c->is_busy = true;
        w->inflight++;
    }
    pthread_mutex_unlock(&w->mu);
    return c;
}

static nx_err put_chunks(nx_fab_ns *n, const char *subject, nx_slice bytes, nx_error *reterr)
{
    struct window w = {.mu = PTHREAD_MUTEX_INITIALIZER, .cv = PTHREAD_COND_INITIALIZER};
    struct chunk_pub pubs[WINDOW] = {0};
    nx_err e = NX_OK;

    for (size_t at = 0; !e && at < bytes.n; at += CHUNK_BYTES) {
        struct chunk_pub *c = free_place(&w, pubs);
        nx_fab_hdr none = {0};

        if (!c)
            break;
        c->pub.done = chunk_done;
        c->pub.owner = &w;
        e = nx_fab_publish(n->f, NULL, subject, &none, nx_slice_sub(bytes, at, CHUNK_BYTES), &c->pub, reterr);
        if (e) { /* done() is not called */
            pthread_mutex_lock(&w.mu);
            c->is_busy = false;
            w.inflight--;
            pthread_mutex_unlock(&w.mu);
        }
    }
    pthread_mutex_lock(&w.mu);
    while (w.inflight)
        pthread_cond_wait(&w.cv, &w.mu);
    if (!e && w.err)
        e = nx_error_set(reterr, w.err, "artifact: %s", nx_err_text(w.err));
    pthread_mutex_unlock(&w.mu);
    pthread_mutex_destroy(&w.mu);
    pthread_cond_destroy(&w.cv);
    return e;
}

static void new_nuid(char out[23])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t r[22];

    nx_random(r, sizeof r);
    for (size_t i = 0; i < sizeof r; i++)
        out[i] = digits[r[i] % 62];
    out[22] = 0;
}

nx_err nx_fab_obj_put(nx_fab_ns *n, const nx_fab_bucket *b, const nx_sha256 *digest, nx_slice bytes, nx_error *reterr)
{
    char name[NX_SHA256_HEX + 1], nuid[23], digest64[64], subject[256], meta[512], text[64];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_sha256 is = nx_sha256_of(bytes);
    int len;
    nx_err e;

    if (memcmp(is.b, digest->b, sizeof is.b) != 0)
        return nx_error_set(reterr, NX_EINVAL, "the bytes do not have the digest that was named");
    if (bytes.n > OBJECT_BYTES)
        return nx_error_set(reterr, NX_ELIMIT, "an artifact of %zu bytes (at most %u)", bytes.n, OBJECT_BYTES);
    if (has(n, b, digest)) {
        e = b == &n->artifacts ? nx_fab_artifact_touch(n, digest, reterr) : NX_OK;
        if (e != NX_ENOENT)
            return e;
    }
    nx_sha256_hex(digest, name);
    new_nuid(nuid);
    snprintf(subject, sizeof subject, "$O.%s.C.%s", b->name, nuid);
    e = put_chunks(n, subject, bytes, reterr);
    if (e)
        return e; /* chunks without metadata are no object; the next trim of the bucket is the operator's */
    encode64(nx_slice_make(is.b, sizeof is.b), digest64);
    len = snprintf(meta, sizeof meta,
                   "{\"name\":\"%s\",\"options\":{\"max_chunk_size\":%u},\"bucket\":\"%s\",\"nuid\":\"%s\",\"size\":%zu,\"mtime\":\"0001-01-01T00:00:00Z\","
                   "\"chunks\":%zu,\"digest\":\"SHA-256=%s\"}",
                   name, CHUNK_BYTES, b->name, nuid, bytes.n, (bytes.n + CHUNK_BYTES - 1) / CHUNK_BYTES, digest64);
    meta_subject(b, name, subject, sizeof subject);
    nx_fab_hdr_add(&h, "Nats-Rollup", NX_SLICE("sub"));
    return nx_fab_publish_sync(n->f, subject, &h, nx_slice_make(meta, (size_t)len), NULL, reterr);
}

nx_err nx_fab_artifact_put(nx_fab_ns *n, const nx_sha256 *digest, nx_slice bytes, nx_error *reterr)
{
    return nx_fab_obj_put(n, &n->artifacts, digest, bytes, reterr);
}

/* ---- get ---------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err get_page(nx_fab_ns *n, const nx_fab_bucket *b, const char *chunks, uint64_t *seq, nx_buf *out, bool *ret_more, nx_error *reterr)
{
    char subject[128], body[320];
    nx_fab_replies got = {0};
    nx_slice text;
    uint64_t at;
    nx_err e;

    snprintf(subject, sizeof subject, "%s.DIRECT.GET.%s", n->f->js_prefix, b->stream);
    snprintf(body, sizeof body, "{\"seq\":%llu,\"batch\":32,\"max_bytes\":4194304,\"next_by_subj\":\"%s\"}", (unsigned long long)*seq, chunks);
    e = nx_fab_request(n->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body), .is_batch = true, .is_repeatable = true}, &got, reterr);
    *ret_more = false;
    for (unsigned i = 0; !e && i < got.n; i++) {
        nx_slice data = nx_slice_make(natsMsg_GetData(got.v[i]), (size_t)natsMsg_GetDataLength(got.v[i]));

        if (!data.n)
            continue; /* the status at the end */
        if (nx_fab_msg_header(got.v[i], "Nats-Sequence", &text) && !nx_slice_u64(text, UINT64_MAX, &at))
            *seq = at + 1;
        e = nx_buf_append_slice(out, data);
        if (e)
            nx_error_set(reterr, e, "artifact: %s", nx_err_text(e));
        *ret_more = true;
    }
    nx_fab_replies_done(&got);
    return e;
}

/* The next chunk from the leader, where a replica has no more. */
static nx_err get_chunk(nx_fab_ns *n, const nx_fab_bucket *b, const char *chunks, uint64_t *seq, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(16u << 20);
    nx_fab_kept k;
    char body[320];
    nx_err e;

    snprintf(body, sizeof body, "{\"seq\":%llu,\"next_by_subj\":\"%s\"}", (unsigned long long)*seq, chunks);
    e = nx_fab_leader_get(n->f, b->stream, body, &a, &k, reterr);
    if (e)
        return e == NX_ENOENT ? nx_error_set(reterr, NX_ECORRUPT, "a part of the artifact is gone") : e;
    *seq = k.seq + 1;
    e = nx_buf_append_slice(out, k.data);
    return e ? nx_error_set(reterr, e, "artifact: %s", nx_err_text(e)) : NX_OK;
}

nx_err nx_fab_obj_get(nx_fab_ns *n, const nx_fab_bucket *b, const nx_sha256 *digest, nx_buf *out, nx_error *reterr)
{
    char name[NX_SHA256_HEX + 1], chunks[256];
    nx_json *meta = NULL;
    size_t start = out->n;
    uint64_t seq = 1, size;
    bool more;
    nx_slice nuid;
    nx_sha256 is;
    nx_err e;

    nx_sha256_hex(digest, name);
    e = get_meta(n, b, name, &meta, reterr);
    if (e)
        return e;
    nuid = nx_json_get_str(meta, "nuid");
    size = nx_json_get_u64(meta, "size", 0);
    if (!nx_fab_name_is_valid(nuid, 64))
        e = nx_error_set(reterr, NX_ECORRUPT, "the metadata of artifact %s is damaged", name);
    snprintf(chunks, sizeof chunks, "$O.%s.C.%.*s", b->name, NX_SLICE_FMT(nuid));
    nx_json_free(meta);
    while (!e && out->n - start < size) {
        e = get_page(n, b, chunks, &seq, out, &more, reterr);
        if (!e && !more)
            e = get_chunk(n, b, chunks, &seq, out, reterr);
    }
    if (e)
        return e;
    is = nx_sha256_of(nx_slice_make(out->p + start, out->n - start));
    if (memcmp(is.b, digest->b, sizeof is.b) != 0)
        return nx_error_set(reterr, NX_ECORRUPT, "artifact %s is damaged", name);
    return NX_OK;
}

nx_err nx_fab_artifact_get(nx_fab_ns *n, const nx_sha256 *digest, nx_buf *out, nx_error *reterr)
{
    return nx_fab_obj_get(n, &n->artifacts, digest, out, reterr);
}

/* ---- what nobody needs --------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_artifact_touch(nx_fab_ns *n, const nx_sha256 *digest, nx_error *reterr)
{
    char name[NX_SHA256_HEX + 1], subject[256], text[64];
    NX_CLEANUP(nx_buf_done)
    nx_buf data = NX_BUF_INIT(1u << 16);
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_json *meta = NULL;
    nx_err e;

    nx_sha256_hex(digest, name);
    e = get_meta(n, &n->artifacts, name, &meta, reterr);
    if (!e)
        e = nx_json_dump(meta, &data);
    nx_json_free(meta);
    if (e)
        return e;
    meta_subject(&n->artifacts, name, subject, sizeof subject);
    nx_fab_hdr_add(&h, "Nats-Rollup", NX_SLICE("sub"));
    return nx_fab_publish_sync(n->f, subject, &h, nx_buf_view(&data), NULL, reterr);
}

struct listing {
    nx_arena *a;
    nx_fab_artifact *v;
    unsigned n, cap;
};

static int list_one(void *self, nx_fab_stored *s)
{
    struct listing *l = self;
    nx_fab_artifact x = {.seq = s->seq, .put_wall_ns = s->wall_ns};
    nx_json *meta = NULL;
    bool is_one;

    if (nx_json_parse(nx_slice_make(natsMsg_GetData(s->m), (size_t)natsMsg_GetDataLength(s->m)), 1 << 16, &meta, NULL))
        return 0;
    is_one = !nx_json_get_bool(meta, "deleted", false) && !nx_sha256_parse_hex(nx_json_get_str(meta, "name"), &x.digest);
    x.size_bytes = nx_json_get_u64(meta, "size", 0);
    nx_json_free(meta);
    if (!is_one)
        return 0;
    if (l->n == l->cap) {
        unsigned cap = l->cap ? 2 * l->cap : 64;
        nx_fab_artifact *v = nx_arena_calloc(l->a, cap, sizeof *v);

        if (!v)
            return NX_ENOMEM;
        if (l->n)
            memcpy(v, l->v, l->n * sizeof *v);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = x;
    return 0;
}

nx_err nx_fab_artifacts_list(nx_fab_ns *n, nx_arena *a, nx_fab_artifact **ret, unsigned *ret_n, nx_error *reterr)
{
    struct listing l = {.a = a};
    char filter[160];
    nx_err e;

    snprintf(filter, sizeof filter, "$O.%s.M.>", n->artifacts.name);
    e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->artifacts.stream, .filter = filter, .seq = 1, .batch = 64}, list_one, &l, reterr);
    if (!e) {
        *ret = l.v;
        *ret_n = l.n;
    }
    return e;
}

nx_err nx_fab_artifact_delete(nx_fab_ns *n, const nx_fab_artifact *x, nx_error *reterr)
{
    char name[NX_SHA256_HEX + 1], subject[256], chunks[256], meta[512], text[128], number[24];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_json *j = NULL;
    uint64_t seq = 0;
    nx_slice nuid;
    nx_err e;

    nx_sha256_hex(&x->digest, name);
    e = get_meta(n, &n->artifacts, name, &j, reterr);
    if (e)
        return e == NX_ENOENT ? NX_OK : e;
    nuid = nx_json_get_str(j, "nuid");
    if (!nx_fab_name_is_valid(nuid, 64))
        e = nx_error_set(reterr, NX_ECORRUPT, "the metadata of artifact %s is damaged", name);
    snprintf(chunks, sizeof chunks, "$O.%s.C.%.*s", n->artifacts.name, NX_SLICE_FMT(nuid));
    int len = snprintf(meta, sizeof meta, "{\"name\":\"%s\",\"bucket\":\"%s\",\"nuid\":\"%.*s\",\"size\":0,\"mtime\":\"0001-01-01T00:00:00Z\",\"chunks\":0,\"deleted\":true}",
                       name, n->artifacts.name, NX_SLICE_FMT(nuid));
    nx_json_free(j);
    if (e)
        return e;
    meta_subject(&n->artifacts, name, subject, sizeof subject);
    nx_fab_hdr_add(&h, "Nats-Rollup", NX_SLICE("sub"));
    nx_fab_hdr_add(&h, "Nats-Expected-Last-Subject-Sequence", nx_slice_make(number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)x->seq)));
    e = nx_fab_publish_sync(n->f, subject, &h, nx_slice_make(meta, (size_t)len), &seq, reterr);
    if (!e)
        e = nx_fab_stream_purge(n->f, n->artifacts.stream, chunks, 0, reterr);
    if (!e)
        /* The deletion has been told to whoever watches; kept, such words would fill the bucket. */
        e = nx_fab_stream_purge(n->f, n->artifacts.stream, subject, seq + 1, reterr);
    return e;
}

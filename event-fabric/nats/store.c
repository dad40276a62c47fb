/* store.c: key-value stores that functions use: one bucket each, in the published NATS layout (ADR-8), so that `nats kv` reads and writes them.
 * Compare-and-set is JetStream's own: a message is taken only where the newest one of its subject is the expected one. */
#include "fab_internal.h"
#include <stdio.h>

#define STORE_BYTES (1ull << 30)                /* what a new store may grow to; `nats stream edit` changes it */
#define OWN_AGE_NS (50ull * 3600 * NX_NS_PER_S) /* of an entry of a store of the node's own, whose name begins with '_' */
#define BUCKET_BYTES 96
#define TRIES 4

static void bucket_of(const nx_fab_ns *n, nx_slice store, char out[BUCKET_BYTES])
{
    /* A namespace's name has no '_', so no two pairs share a bucket. */
    snprintf(out, BUCKET_BYTES, "nx-kv-%s_%.*s", n->name, NX_SLICE_FMT(store));
}

/* What is left until the deadline, at most the usual time of a request; 0: nothing. */
static uint64_t time_left(uint64_t deadline_ns)
{
    uint64_t now_ns = nx_clock_ns();

    if (now_ns >= deadline_ns)
        return 0;
    return deadline_ns - now_ns < NX_FAB_REQUEST_NS ? deadline_ns - now_ns : NX_FAB_REQUEST_NS;
}

static nx_err late(nx_error *reterr)
{
    return nx_error_set(reterr, NX_ETIMEOUT, "the key-value store did not answer in time");
}

/* A request ends with NX_EUNAVAIL both when its time is up and when there is no server. */
static nx_err ended(nx_err e, uint64_t deadline_ns, nx_error *reterr)
{
    return e == NX_EUNAVAIL && nx_clock_ns() >= deadline_ns ? late(reterr) : e;
}

static bool is_known(nx_fab_ns *n, nx_slice store)
{
    bool found = false;

    pthread_mutex_lock(&n->mu);
    for (unsigned i = 0; i < n->n_ready_stores && !found; i++)
        found = nx_slice_eq_cstr(store, n->ready_stores[i]);
    pthread_mutex_unlock(&n->mu);
    return found;
}

static void remember(nx_fab_ns *n, nx_slice store)
{
    pthread_mutex_lock(&n->mu);
    if (n->n_ready_stores < NX_FAB_STORES_KNOWN && !nx_slice_to_cstr(store, n->ready_stores[n->n_ready_stores], sizeof n->ready_stores[0]))
        n->n_ready_stores++;
    pthread_mutex_unlock(&n->mu);
}

/* Somebody removed the bucket: it is made again at the next use. */
static void forget(nx_fab_ns *n, nx_slice store)
{
    pthread_mutex_lock(&n->mu);
    for (unsigned i = 0; i < n->n_ready_stores; i++)
        if (nx_slice_eq_cstr(store, n->ready_stores[i])) {
            memcpy(n->ready_stores[i], n->ready_stores[n->n_ready_stores - 1], sizeof n->ready_stores[0]);
            n->n_ready_stores--;
            break;
        }
    pthread_mutex_unlock(&n->mu);
}

/* The newest message of a key. NX_ENOENT: none. */
typedef struct newest {
    uint64_t revision;
    nx_slice value; /* in the arena */
    bool is_deletion;
} newest;

/* From the leader where there are several copies: the one that answers a direct get may not have yet what this function wrote a moment ago. */
static nx_err from_leader(nx_fab_ns *n, const char *bucket, nx_slice key, uint64_t left_ns, nx_arena *a, newest *ret, nx_error *reterr)
{
    char stream[BUCKET_BYTES + 4], body[768];
    nx_fab_kept k;
    nx_err e;

    snprintf(stream, sizeof stream, "KV_%s", bucket);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"$KV.%s.%.*s\"}", bucket, NX_SLICE_FMT(key));
    e = nx_fab_leader_get_within(n->f, stream, body, left_ns, a, &k, reterr);
    if (!e)
        *ret = (newest){k.seq, k.data, nx_fab_kept_is_tombstone(&k)};
    return e;
}

static nx_err last_of(nx_fab_ns *n, const char *bucket, nx_slice key, uint64_t deadline_ns, nx_arena *a, newest *ret, nx_error *reterr)
{
    uint64_t left = time_left(deadline_ns);
    nx_fab_replies got = {0};
    nx_err e;

    if (!left)
        return late(reterr);
    if (nx_fab_is_copied(n))
        return from_leader(n, bucket, key, left, a, ret, reterr);
    e = nx_fab_kv_last(n->f, bucket, key, left, &got, reterr);
    if (!e) {
        *ret = (newest){nx_fab_kv_revision(got.v[0]),
                        nx_arena_dup(a, nx_slice_make(natsMsg_GetData(got.v[0]), (size_t)natsMsg_GetDataLength(got.v[0]))), nx_fab_kv_is_deleted(got.v[0])};
        if (!ret->value.p)
            e = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    }
    nx_fab_replies_done(&got);
    return e;
}

static nx_err open_store(nx_fab_ns *n, nx_slice store, char bucket[BUCKET_BYTES], nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "max_msgs_per_subject", "max_bytes", "max_age", "sources", "mirror", NULL};
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    char stream[BUCKET_BYTES + 4];
    nx_err e;

    bucket_of(n, store, bucket);
    if (is_known(n, store))
        return NX_OK;
    snprintf(stream, sizeof stream, "KV_%s", bucket);
    e = nx_buf_printf(&b,
                      "{\"name\":\"%s\",\"subjects\":[\"$KV.%s.>\"],\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"new\",\"max_consumers\":-1,"
                      "\"max_msgs_per_subject\":1,\"max_bytes\":%llu,\"max_age\":%llu,\"num_replicas\":%u,\"duplicate_window\":120000000000,\"allow_direct\":true,"
                      "\"allow_rollup_hdrs\":true,\"deny_delete\":true}",
                      stream, bucket, STORE_BYTES, store.p[0] == '_' ? OWN_AGE_NS : 0ull, n->o.replicas ? n->o.replicas : 1);
    if (!e)
        e = nx_fab_stream_ensure(n->f, stream, nx_buf_view(&b), keep, reterr);
    if (!e)
        remember(n, store);
    return e;
}

nx_err nx_fab_store_get(nx_fab_ns *n, nx_slice store, nx_slice key, uint64_t deadline_ns, nx_arena *a, nx_slice *ret, uint64_t *ret_revision, nx_error *reterr)
{
    char bucket[BUCKET_BYTES];
    newest last;
    nx_err e = open_store(n, store, bucket, reterr);

    if (!e)
        e = last_of(n, bucket, key, deadline_ns, a, &last, reterr);
    if (e == NX_EUNAVAIL)
        forget(n, store);
    if (!e && last.is_deletion)
        e = NX_ENOENT;
    if (e == NX_ENOENT)
        nx_error_set(reterr, e, "store %.*s has no key %.*s", NX_SLICE_FMT(store), NX_SLICE_FMT(key));
    if (!e) {
        *ret = last.value;
        *ret_revision = last.revision;
    }
    return ended(e, deadline_ns, reterr);
}

/* The revision of a deletion, where that is the newest; else NX_ECONFLICT. */
static nx_err deleted_at(nx_fab_ns *n, const char *bucket, nx_slice key, uint64_t deadline_ns, uint64_t *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    newest last;
    nx_err e = last_of(n, bucket, key, deadline_ns, &a, &last, reterr);

    if (e == NX_ENOENT) /* purged meanwhile */
        *ret = 0;
    else if (!e && !last.is_deletion)
        e = NX_ECONFLICT;
    else if (!e)
        *ret = last.revision;
    return e == NX_ENOENT ? NX_OK : e;
}

static nx_err write_store(nx_fab_ns *n, nx_slice store, nx_slice key, nx_slice value, int64_t expected, const char *operation, uint64_t deadline_ns,
                          uint64_t *ret_revision, nx_error *reterr)
{
    char bucket[BUCKET_BYTES];
    uint64_t left, revision = expected == NX_KV_ANY ? NX_FAB_KV_ANY : (uint64_t)expected;
    nx_err e = open_store(n, store, bucket, reterr);

    for (unsigned i = 0; !e && i < TRIES; i++) {
        left = time_left(deadline_ns);
        if (!left)
            return late(reterr);
        e = nx_fab_kv_write(n->f, bucket, key, value, revision, operation, left, ret_revision, reterr);
        if (e != NX_ECONFLICT || expected != 0)
            break;
        /* Created before: fine, if it was deleted since. */
        e = deleted_at(n, bucket, key, deadline_ns, &revision, reterr);
    }
    if (e == NX_EUNAVAIL)
        forget(n, store);
    if (e == NX_ECONFLICT && expected)
        nx_error_set(reterr, e, "%.*s/%.*s has another revision than %lld", NX_SLICE_FMT(store), NX_SLICE_FMT(key), (long long)expected);
    else if (e == NX_ECONFLICT)
        nx_error_set(reterr, e, "%.*s/%.*s exists", NX_SLICE_FMT(store), NX_SLICE_FMT(key));
    return ended(e, deadline_ns, reterr);
}

nx_err nx_fab_store_put(nx_fab_ns *n, nx_slice store, nx_slice key, nx_slice value, int64_t expected, uint64_t deadline_ns, uint64_t *ret_revision, nx_error *reterr)
{
    return write_store(n, store, key, value, expected, NULL, deadline_ns, ret_revision, reterr);
}

nx_err nx_fab_store_delete(nx_fab_ns *n, nx_slice store, nx_slice key, int64_t expected, uint64_t deadline_ns, nx_error *reterr)
{
    return write_store(n, store, key, NX_SLICE_NULL, expected, "DEL", deadline_ns, NULL, reterr);
}

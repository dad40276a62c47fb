/* kv.c: key-value buckets in general, and the registry: one bucket a namespace, in the published NATS layout (ADR-8): stream KV_<bucket>, subject $KV.<bucket>.<key>,
 * revision = stream sequence, a deletion is an empty message with KV-Operation. `nats kv` reads and writes it.
 *
 * The watch is an ephemeral consumer and not a plain subscription: a subscriber would see a change before it is stored, and also one that
 * is refused. It is made anew, from the last revision seen, whenever the connection was lost, a heartbeat missed or a number skipped.
 * It pulls, because a push consumer wants a subscription of its own, and all of ours share one inbox. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define VALUE_BYTES (4u << 20)
#define WATCH_HEARTBEAT_NS (5 * NX_NS_PER_S)
#define WATCH_EXPIRES_NS (30 * NX_NS_PER_S)
#define WATCH_BATCH 1000
#define WATCH_SILENCE_NS (16 * NX_NS_PER_S)
#define WATCH_HOMELESS_NS NX_NS_PER_S /* that nobody takes a pull is known within this time */
#define LIST_BATCH 500

nx_err nx_fab_kv_ensure(nx_fab_ns *n, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "max_msgs_per_subject", "max_bytes", "max_age", "sources", "mirror", NULL};
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    nx_err e = nx_buf_printf(&b,
                             "{\"name\":\"%s\",\"subjects\":[\"$KV.%s.>\"],\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"new\",\"max_consumers\":-1,"
                             "\"max_msgs_per_subject\":8,\"max_bytes\":-1,\"num_replicas\":%u,\"duplicate_window\":120000000000,\"allow_direct\":true,"
                             "\"allow_rollup_hdrs\":true,\"deny_delete\":true}",
                             n->kv_stream, n->kv_bucket, n->o.replicas ? n->o.replicas : 1);

    return e ? e : nx_fab_stream_ensure(n->f, n->kv_stream, nx_buf_view(&b), keep, reterr);
}

static bool is_key(const char *key)
{
    size_t n = strlen(key);

    if (!n || n > 512 || key[0] == '.' || key[n - 1] == '.')
        return false;
    for (; *key; key++)
        if (!((*key >= 'a' && *key <= 'z') || (*key >= 'A' && *key <= 'Z') || (*key >= '0' && *key <= '9') || strchr("-/_=.", *key)) ||
            (*key == '.' && key[1] == '.'))
            return false;
    return true;
}

bool nx_fab_kv_is_deleted(natsMsg *m)
{
    nx_slice op;

    return nx_fab_msg_header(m, "KV-Operation", &op) && (nx_slice_eq_cstr(op, "DEL") || nx_slice_eq_cstr(op, "PURGE"));
}

static nx_slice msg_data(natsMsg *m)
{
    return nx_slice_make(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));
}

static bool has_status(natsMsg *m)
{
    nx_slice status;

    return nx_fab_msg_status(m, &status, NULL);
}

static uint64_t header_u64(natsMsg *m, const char *key)
{
    nx_slice v;
    uint64_t n = 0;

    if (nx_fab_msg_header(m, key, &v) && nx_slice_u64(v, UINT64_MAX, &n))
        n = 0;
    return n;
}

uint64_t nx_fab_kv_revision(natsMsg *m)
{
    return header_u64(m, "Nats-Sequence");
}

nx_err nx_fab_kv_last(nx_fab *f, const char *bucket, nx_slice key, uint64_t timeout_ns, nx_fab_replies *ret, nx_error *reterr)
{
    char subject[192], body[768];
    nx_err e;

    snprintf(subject, sizeof subject, "%s.DIRECT.GET.KV_%s", f->js_prefix, bucket);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"$KV.%s.%.*s\"}", bucket, NX_SLICE_FMT(key));
    e = nx_fab_request(f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body), .timeout_ns = timeout_ns, .is_repeatable = true}, ret, reterr);
    if (!e && has_status(ret->v[0])) {
        nx_fab_replies_done(ret);
        e = NX_ENOENT;
    }
    return e;
}

nx_err nx_fab_kv_write(nx_fab *f, const char *bucket, nx_slice key, nx_slice value, uint64_t expected, const char *operation, uint64_t timeout_ns,
                       uint64_t *ret_revision, nx_error *reterr)
{
    char subject[768], text[256], number[24];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};

    snprintf(subject, sizeof subject, "$KV.%s.%.*s", bucket, NX_SLICE_FMT(key));
    if (expected != NX_FAB_KV_ANY)
        nx_fab_hdr_add(&h, "Nats-Expected-Last-Subject-Sequence", nx_slice_make(number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)expected)));
    if (operation)
        nx_fab_hdr_add(&h, "KV-Operation", nx_slice_cstr(operation));
    return nx_fab_publish_within(f, subject, h.n ? &h : NULL, value, timeout_ns, ret_revision, reterr);
}

/* ---- the registry ---------------------------------------------------------------------------------------------------------------------------- */

/* The newest message of a key, deletions included. NX_ENOENT: none. */
static nx_err get_last(nx_fab_ns *n, const char *key, nx_arena *a, nx_fab_kept *ret, nx_error *reterr)
{
    char body[768];
    nx_err e;

    if (!is_key(key))
        return nx_error_set(reterr, NX_EINVAL, "\"%s\" is not a registry key", key);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"$KV.%s.%s\"}", n->kv_bucket, key);
    e = nx_fab_leader_get(n->f, n->kv_stream, body, a, ret, reterr);
    return e == NX_ENOENT ? nx_error_set(reterr, NX_ENOENT, "no registry key \"%s\"", key) : e;
}

nx_err nx_fab_kv_get(nx_fab_ns *n, const char *key, nx_arena *a, nx_slice *ret, uint64_t *ret_revision, nx_error *reterr)
{
    nx_fab_kept last;
    nx_err e = get_last(n, key, a, &last, reterr);

    if (!e && nx_fab_kept_is_tombstone(&last))
        e = nx_error_set(reterr, NX_ENOENT, "no registry key \"%s\"", key);
    if (!e) {
        *ret = last.data;
        if (ret_revision)
            *ret_revision = last.seq;
    }
    return e;
}

static nx_err put_expecting(nx_fab_ns *n, const char *key, nx_slice value, uint64_t expected, const char *operation, uint64_t *ret_revision, nx_error *reterr)
{
    return nx_fab_kv_write(n->f, n->kv_bucket, nx_slice_cstr(key), value, expected, operation, 0, ret_revision, reterr);
}

nx_err nx_fab_kv_put(nx_fab_ns *n, const char *key, nx_slice value, uint64_t revision, uint64_t *ret_revision, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(2 * VALUE_BYTES + (64u << 10));
    nx_fab_kept last;
    nx_err e;

    if (!is_key(key))
        return nx_error_set(reterr, NX_EINVAL, "\"%s\" is not a registry key", key);
    if (value.n > VALUE_BYTES)
        return nx_error_set(reterr, NX_ELIMIT, "registry value of %zu bytes", value.n);
    e = put_expecting(n, key, value, revision, NULL, ret_revision, reterr);
    if (e != NX_ECONFLICT || revision)
        return e;
    /* Created before: fine, if it was deleted since. */
    e = get_last(n, key, &a, &last, reterr);
    if (e == NX_ENOENT)
        return nx_error_set(reterr, NX_ECONFLICT, "registry key \"%s\" changed meanwhile", key);
    if (!e && !nx_fab_kept_is_tombstone(&last))
        e = nx_error_set(reterr, NX_EEXIST, "registry key \"%s\" exists", key);
    if (!e)
        e = put_expecting(n, key, value, last.seq, NULL, ret_revision, reterr);
    return e == NX_ECONFLICT ? nx_error_set(reterr, NX_EEXIST, "registry key \"%s\" exists", key) : e;
}

nx_err nx_fab_kv_delete(nx_fab_ns *n, const char *key, nx_error *reterr)
{
    if (!is_key(key))
        return nx_error_set(reterr, NX_EINVAL, "\"%s\" is not a registry key", key);
    return put_expecting(n, key, NX_SLICE_NULL, NX_FAB_KV_ANY, "DEL", NULL, reterr);
}

/* ---- list -------------------------------------------------------------------------------------------------------------------------------------- */

struct entry {
    nx_kv kv;
    bool is_gone;
};
struct listing {
    struct entry *v; /* open addressing by key; key.n 0: free */
    unsigned n, cap; /* cap is a power of two */
    nx_arena *a;
};

static unsigned place_of(const struct listing *l, nx_slice key)
{
    uint32_t h = 2166136261u;
    unsigned i;

    for (size_t k = 0; k < key.n; k++)
        h = (h ^ (uint8_t)key.p[k]) * 16777619u;
    for (i = h & (l->cap - 1); l->v[i].kv.key.n && !nx_slice_eq(l->v[i].kv.key, key); i = (i + 1) & (l->cap - 1))
        ;
    return i;
}

static nx_err grow(struct listing *l)
{
    struct listing to = {.cap = l->cap ? l->cap * 2 : 64, .n = l->n, .a = l->a};

    to.v = calloc(to.cap, sizeof *to.v);
    if (!to.v)
        return NX_ENOMEM;
    for (unsigned i = 0; i < l->cap; i++)
        if (l->v[i].kv.key.n)
            to.v[place_of(&to, l->v[i].kv.key)] = l->v[i];
    free(l->v);
    *l = to;
    return NX_OK;
}

/* Messages come oldest first: the last one of a key counts. */
static nx_err note(struct listing *l, nx_slice key, nx_slice value, bool is_gone)
{
    struct entry *e;

    if (2 * (l->n + 1) > l->cap && grow(l))
        return NX_ENOMEM;
    e = &l->v[place_of(l, key)];
    if (!e->kv.key.n) {
        key = nx_arena_dup(l->a, key);
        if (!key.p)
            return NX_ENOMEM;
        e->kv.key = key;
        l->n++;
    }
    e->is_gone = is_gone;
    if (!is_gone) {
        value = nx_arena_dup(l->a, value);
        if (!value.p)
            return NX_ENOMEM;
    }
    e->kv.value = value;
    return NX_OK;
}

static int by_key(const void *a, const void *b)
{
    const nx_kv *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = memcmp(x->key.p, y->key.p, n);

    return c ? c : x->key.n < y->key.n ? -1
                                       : x->key.n > y->key.n;
}

/* As much of the prefix as the server can select by: whole tokens with their last dot; 0 where it is no beginning of a key. */
static size_t selectable(nx_slice prefix)
{
    char key[513];

    while (prefix.n && prefix.p[prefix.n - 1] != '.')
        prefix.n--;
    return prefix.n && !nx_slice_to_cstr(nx_slice_sub(prefix, 0, prefix.n - 1), key, sizeof key) && is_key(key) ? prefix.n : 0;
}

static nx_err list_page(nx_fab_ns *n, nx_slice prefix, uint64_t *seq, struct listing *l, bool *ret_more, nx_error *reterr)
{
    char subject[128], body[NX_FAB_SUBJECT_BYTES];
    nx_fab_replies got = {0};
    size_t skip = strlen("$KV.") + strlen(n->kv_bucket) + 1;
    nx_err e;

    snprintf(subject, sizeof subject, "%s.DIRECT.GET.%s", n->f->js_prefix, n->kv_stream);
    snprintf(body, sizeof body, "{\"seq\":%llu,\"batch\":%d,\"max_bytes\":8388608,\"next_by_subj\":\"$KV.%s.%.*s>\"}", (unsigned long long)*seq, LIST_BATCH, n->kv_bucket,
             (int)selectable(prefix), prefix.p ? prefix.p : "");
    e = nx_fab_request(n->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body), .is_batch = true, .is_repeatable = true}, &got, reterr);
    if (e)
        return e;
    *ret_more = got.n > 1;
    for (unsigned i = 0; !e && i < got.n; i++) {
        nx_slice name;

        if (has_status(got.v[i]) || !nx_fab_msg_header(got.v[i], "Nats-Subject", &name) || name.n <= skip)
            continue;
        *seq = nx_fab_kv_revision(got.v[i]) + 1;
        name = nx_slice_sub(name, skip, name.n);
        if (nx_slice_starts(name, prefix))
            e = note(l, name, msg_data(got.v[i]), nx_fab_kv_is_deleted(got.v[i]));
    }
    nx_fab_replies_done(&got);
    return e ? nx_error_set(reterr, e, "registry: %s", nx_err_text(e)) : NX_OK;
}

/* Whether the leader has one more after what replicas gave: then they are behind, and that one is noted. */
static nx_err list_newer(nx_fab_ns *n, nx_slice prefix, uint64_t *seq, struct listing *l, bool *ret_more, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(2 * VALUE_BYTES + (64u << 10));
    size_t skip = strlen("$KV.") + strlen(n->kv_bucket) + 1;
    nx_fab_kept k;
    char body[NX_FAB_SUBJECT_BYTES];
    nx_err e;

    snprintf(body, sizeof body, "{\"seq\":%llu,\"next_by_subj\":\"$KV.%s.%.*s>\"}", (unsigned long long)*seq, n->kv_bucket, (int)selectable(prefix),
             prefix.p ? prefix.p : "");
    e = nx_fab_leader_get(n->f, n->kv_stream, body, &a, &k, reterr);
    *ret_more = !e;
    if (e)
        return e == NX_ENOENT ? NX_OK : e;
    *seq = k.seq + 1;
    k.subject = nx_slice_sub(k.subject, skip, k.subject.n);
    return nx_slice_starts(k.subject, prefix) ? note(l, k.subject, k.data, nx_fab_kept_is_tombstone(&k)) : NX_OK;
}

nx_err nx_fab_kv_list(nx_fab_ns *n, const char *prefix, nx_arena *a, nx_kv **ret, unsigned *ret_n, nx_error *reterr)
{
    struct listing l = {.a = a};
    uint64_t seq = 1;
    bool more = true;
    nx_kv *out = NULL;
    unsigned count = 0;
    nx_err e = NX_OK;

    while (!e && more) {
        while (!e && more)
            e = list_page(n, nx_slice_cstr(prefix ? prefix : ""), &seq, &l, &more, reterr);
        if (!e)
            e = list_newer(n, nx_slice_cstr(prefix ? prefix : ""), &seq, &l, &more, reterr);
    }
    if (!e) {
        out = nx_arena_calloc(a, l.n ? l.n : 1, sizeof *out);
        e = out ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
    }
    for (unsigned i = 0; !e && i < l.cap; i++)
        if (l.v[i].kv.key.n && !l.v[i].is_gone)
            out[count++] = l.v[i].kv;
    free(l.v);
    if (!e) {
        qsort(out, count, sizeof *out, by_key);
        *ret = out;
        *ret_n = count;
    }
    return e;
}

/* ---- watch ------------------------------------------------------------------------------------------------------------------------------------- */

static void watch_name(const nx_fab_ns *n, uint32_t gen, char out[64])
{
    snprintf(out, 64, "nx-watch-%s-%u-%u", n->f->inbox[NX_FAB_AUX] + 5, n->slot, gen);
}

/* Any thread. A pull that can't be sent is missed by its heartbeats. */
static void pull_watch(nx_fab_ns *n, uint32_t gen)
{
    char subject[256], inbox[64], body[160], name[64];
    nx_fab *f = n->f;
    nx_fab_link *l;

    watch_name(n, gen, name);
    nx_fab_token_format(f, NX_FAB_AUX, 'w', n->slot, gen, inbox);
    snprintf(subject, sizeof subject, "%s.CONSUMER.MSG.NEXT.%s.%s", f->js_prefix, n->kv_stream, name);
    snprintf(body, sizeof body, "{\"batch\":%d,\"expires\":%llu,\"idle_heartbeat\":%llu}", WATCH_BATCH, (unsigned long long)WATCH_EXPIRES_NS,
             (unsigned long long)WATCH_HEARTBEAT_NS);
    pthread_mutex_lock(&n->mu);
    n->watch_left = WATCH_BATCH;
    n->watch_pulled_ns = nx_clock_ns();
    pthread_mutex_unlock(&n->mu);
    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[NX_FAB_AUX]);
    if (l && natsConnection_PublishRequestString(l->nc, subject, inbox, body) == NATS_OK)
        nx_fab_link_flush_unlock(f, l, false);
    else
        pthread_mutex_unlock(&f->mu);
}

/* f->upkeep_mu held. Whatever an earlier consumer still sends is told by its name, and not heard. */
static nx_err open_watch(nx_fab_ns *n, nx_error *reterr)
{
    char subject[192], body[1024], name[64];
    nx_json *answer = NULL;
    uint64_t from;
    uint32_t gen;
    nx_err e;

    pthread_mutex_lock(&n->mu);
    gen = ++n->watch_gen;
    n->watch_cseq = 0;
    n->watch_heard_ns = nx_clock_ns();
    from = n->watch_seq + 1;
    pthread_mutex_unlock(&n->mu);
    if (gen > 1) {
        watch_name(n, gen - 1, name);
        snprintf(subject, sizeof subject, "CONSUMER.DELETE.%s.%s", n->kv_stream, name);
        nx_fab_api(n->f, subject, NX_SLICE_NULL, &answer, NULL, NULL);
        nx_json_free(answer);
        answer = NULL;
    }
    watch_name(n, gen, name);
    snprintf(subject, sizeof subject, "CONSUMER.CREATE.%s.%s", n->kv_stream, name);
    snprintf(body, sizeof body,
             "{\"stream_name\":\"%s\",\"config\":{\"name\":\"%s\",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu,"
             "\"ack_policy\":\"none\",\"max_deliver\":1,\"mem_storage\":true,\"num_replicas\":1,\"headers_only\":true,"
             "\"inactive_threshold\":120000000000}}",
             n->kv_stream, name, (unsigned long long)from);
    e = nx_fab_api(n->f, subject, nx_slice_cstr(body), &answer, NULL, reterr);
    nx_json_free(answer);
    if (!e) {
        pthread_mutex_lock(&n->mu);
        n->watch_is_up = true;
        pthread_mutex_unlock(&n->mu);
        pull_watch(n, gen);
    }
    return e;
}

nx_err nx_fab_kv_watch(nx_fab_ns *n, void (*on_change)(void *self, nx_slice key), void *self, nx_error *reterr)
{
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, n->kv_stream, &st, reterr);

    if (e)
        return e;
    pthread_mutex_lock(&n->f->upkeep_mu);
    pthread_mutex_lock(&n->mu);
    if (n->watch_fn) {
        e = nx_error_set(reterr, NX_EEXIST, "the registry of namespace %s is watched already", n->name);
    } else {
        n->watch_self = self;
        n->watch_seq = st.last_seq;
        n->watch_fn = on_change;
    }
    pthread_mutex_unlock(&n->mu);
    if (!e) {
        e = open_watch(n, reterr);
        if (e) {
            pthread_mutex_lock(&n->mu);
            n->watch_fn = NULL; /* it may be tried again */
            pthread_mutex_unlock(&n->mu);
        }
    }
    pthread_mutex_unlock(&n->f->upkeep_mu);
    return e;
}

/* nx-fab. A namespace leaves f->ns under f->mu and then waits for nx-fab to pass (nx_fab_ns_forget), so it is there as long as we are here. */
void nx_fab_kv_watch_by_stream(nx_fab *f, natsMsg *m)
{
    nx_slice subject = nx_slice_cstr(natsMsg_GetSubject(m)), bucket, key;
    char expected[160], name[64];
    nx_fab_ns *n = NULL;
    nx_fab_meta meta;
    bool is_current, is_next, is_used_up = false;
    uint32_t gen;

    if (!nx_slice_starts(subject, NX_SLICE("$KV.")) || !nx_fab_meta_parse(natsMsg_GetReply(m), &meta))
        return;
    bucket = nx_slice_split(nx_slice_sub(subject, 4, subject.n), '.', &key);
    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_ns && !n; i++)
        if (f->ns[i] && nx_slice_eq_cstr(bucket, f->ns[i]->kv_bucket))
            n = f->ns[i];
    pthread_mutex_unlock(&f->mu);
    if (!n)
        return;
    pthread_mutex_lock(&n->mu);
    gen = n->watch_gen;
    watch_name(n, gen, name);
    snprintf(expected, sizeof expected, "%s.%s", n->kv_stream, name);
    is_current = nx_slice_eq_cstr(meta.stream_consumer, expected);
    is_next = is_current && meta.consumer_seq == n->watch_cseq + 1;
    if (is_current)
        n->watch_heard_ns = nx_clock_ns();
    if (is_next) {
        n->watch_cseq = meta.consumer_seq;
        n->watch_seq = meta.stream_seq;
        is_used_up = n->watch_left == 0 || --n->watch_left == 0;
    } else if (is_current) {
        n->watch_is_up = false; /* one was lost: upkeep starts again after watch_seq */
    }
    pthread_mutex_unlock(&n->mu);
    if (is_used_up)
        pull_watch(n, gen);
    if (is_next)
        n->watch_fn(n->watch_self, key);
    else if (is_current)
        nx_fab_upkeep_kick(f);
}

/* nx-fab. A heartbeat, or the end of a pull. */
void nx_fab_kv_watch_status(nx_fab *f, unsigned ns_slot, uint32_t gen, natsMsg *m)
{
    nx_slice status;
    bool is_expired = false;
    nx_fab_ns *n = NULL;

    pthread_mutex_lock(&f->mu);
    if (ns_slot < f->n_ns)
        n = f->ns[ns_slot];
    pthread_mutex_unlock(&f->mu);
    if (!n || !nx_fab_msg_status(m, &status, NULL))
        return;
    pthread_mutex_lock(&n->mu);
    if (n->watch_gen == gen) {
        n->watch_heard_ns = nx_clock_ns();
        is_expired = nx_slice_eq_cstr(status, "408");
        if (!is_expired && !nx_slice_eq_cstr(status, "100"))
            n->watch_is_up = false; /* the consumer is gone */
    }
    pthread_mutex_unlock(&n->mu);
    if (is_expired)
        pull_watch(n, gen);
}

/* A server of a cluster may not yet know who listens to the pulls of a consumer that was made a moment ago. Which request it was that met nobody is not
 * known: a watch that has pulled just now, and heard nothing since, is made anew at upkeep's next turn. */
void nx_fab_kv_watches_homeless(nx_fab *f)
{
    uint64_t now_ns = nx_clock_ns();

    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_ns; i++) {
        nx_fab_ns *n = f->ns[i];

        if (!n)
            continue;
        pthread_mutex_lock(&n->mu);
        if (n->watch_heard_ns <= n->watch_pulled_ns && now_ns < n->watch_pulled_ns + WATCH_HOMELESS_NS)
            n->watch_is_up = false;
        pthread_mutex_unlock(&n->mu);
    }
    pthread_mutex_unlock(&f->mu);
}

void nx_fab_kv_watches_lost(nx_fab *f)
{
    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_ns; i++)
        if (f->ns[i]) {
            pthread_mutex_lock(&f->ns[i]->mu);
            f->ns[i]->watch_is_up = false;
            pthread_mutex_unlock(&f->ns[i]->mu);
        }
    pthread_mutex_unlock(&f->mu);
}

void nx_fab_kv_watches_repair(nx_fab *f, uint64_t now_ns)
{
    nx_fab_ns *n;

    for (unsigned i = 0; nx_fab_ns_at(f, i, &n); i++) {
        bool is_due;

        if (!n)
            continue;
        pthread_mutex_lock(&n->mu);
        is_due = n->watch_fn && (!n->watch_is_up || now_ns - n->watch_heard_ns > WATCH_SILENCE_NS) && now_ns > n->watch_heard_ns;
        pthread_mutex_unlock(&n->mu);
        if (is_due && open_watch(n, NULL))
            continue; /* tried again at the next round; the connection's own messages say what is wrong */
    }
}

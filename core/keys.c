/* keys.c: see keys.h. The thread nx-keys takes a turn twice a second, and more often while ranges are on their way: it reads the table, takes out nodes that
 * have died, does its part of it for each function, and writes it where nobody else was faster. What it then has is told to the keyrings.
 * A range that is to be given up is not entered any more from one turn on, and given up by a later one that finds nothing in it. */
#include "keys.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STORE NX_SLICE("_flow")
#define ENTRY NX_SLICE("keys") /* a function's have dots */
#define TURN_NS (500 * NX_NS_PER_MS)
#define QUICK_TURN_NS (200 * NX_NS_PER_MS)
#define STEP_NS NX_NS_PER_S
#define LEASE_NS (2 * NX_NS_PER_S)
#define DEAD_NS (3 * NX_NS_PER_S) /* longer than a lease, and than the log waits until it gives an event to another node */
#define TRIES 8u

struct nx_core_keyring {
    atomic_uint refs;
    pthread_mutex_t mu;
    nx_core_keys *keys;
    nx_core_keyring *next; /* nx-keys; the first one under keys->mu */
    char name[NX_FUNCTION_NAME_BYTES + 1];
    atomic_bool is_over;
    bool is_unlisted; /* no room in the table: what holds here is all that holds */
    uint32_t mine, leaving;
    uint32_t next_leaving; /* nx-keys: what a turn has made of it, and whether the table had room for it */
    bool next_unlisted;
    nx_id owner[NX_CORE_KEY_RANGES];
    unsigned n_in[NX_CORE_KEY_RANGES];
};

/* Another node, as long as it has been seen unchanged. */
typedef struct sight {
    nx_core_keys_node node;
    uint64_t since_ns;
} sight;

struct nx_core_keys {
    nx_node *node;
    _Atomic uint64_t sure_until_ns; /* 0: not yet */
    pthread_mutex_t mu;
    pthread_cond_t cv;
    nx_core_keyring *rings;
    bool has_thread, is_stopping, is_kicked;
    pthread_t thread;
    /* nx-keys */
    nx_core_keys_table table;
    sight sights[NX_CORE_KEYS_NODES];
    unsigned n_sights;
    bool is_listed, is_late_logged;
};

/* ---- keyrings ---------------------------------------------------------------------------------------------------------------------------- */

static void kick(nx_core_keys *k)
{
    pthread_mutex_lock(&k->mu);
    k->is_kicked = true;
    pthread_cond_signal(&k->cv);
    pthread_mutex_unlock(&k->mu);
}

static void *keys_main(void *arg);

/* One whose end was not through yet. */
static nx_core_keyring *revive(nx_core_keys *k, const char *function)
{
    pthread_mutex_lock(&k->mu);
    nx_core_keyring *r = k->rings;
    while (r && strcmp(r->name, function) != 0)
        r = r->next;
    if (r) {
        atomic_fetch_add(&r->refs, 1);
        atomic_store(&r->is_over, false);
    }
    pthread_mutex_unlock(&k->mu);
    return r;
}

nx_core_keyring *nx_core_keyring_new(nx_core_keys *k, const char *function)
{
    if (k->node->server)
        return NULL;
    nx_core_keyring *r = revive(k, function);
    if (r)
        return r;
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 2); /* the caller's, and the list's */
    pthread_mutex_init(&r->mu, NULL);
    r->keys = k;
    snprintf(r->name, sizeof r->name, "%s", function);
    pthread_mutex_lock(&k->mu);
    r->next = k->rings;
    k->rings = r;
    if (!k->has_thread && !k->is_stopping)
        k->has_thread = nx_thread_start(&k->thread, NULL, keys_main, k) == 0;
    k->is_kicked = true;
    pthread_cond_signal(&k->cv);
    pthread_mutex_unlock(&k->mu);
    return r;
}

nx_core_keyring *nx_core_keyring_ref(nx_core_keyring *r)
{
    atomic_fetch_add(&r->refs, 1);
    return r;
}

void nx_core_keyring_unref(nx_core_keyring *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&r->mu);
    free(r);
}

void nx_core_keyring_close(nx_core_keyring *r)
{
    if (!r)
        return;
    atomic_store(&r->is_over, true);
    kick(r->keys);
}

unsigned nx_core_keyring_range(const nx_core_keyring *r, const uint8_t key[NX_CORE_GATE_KEY_BYTES])
{
    /* Functions without a key in their limits are spread too. */
    return nx_slice_hash_on(nx_slice_hash(nx_slice_cstr(r->name)), nx_slice_make((const char *)key, NX_CORE_GATE_KEY_BYTES)) % NX_CORE_KEY_RANGES;
}

static bool is_ours_locked(const nx_core_keyring *r, unsigned range)
{
    if (r->is_unlisted)
        return true;
    return (r->mine & ~r->leaving) >> range & 1 && !atomic_load(&r->is_over) && nx_clock_ns() < atomic_load(&r->keys->sure_until_ns);
}

nx_core_key_owner nx_core_keyring_owner(nx_core_keyring *r, unsigned range, nx_id *ret_node)
{
    pthread_mutex_lock(&r->mu);
    nx_core_key_owner v = NX_CORE_KEY_NOBODYS;
    if (is_ours_locked(r, range)) {
        v = NX_CORE_KEY_OURS;
    } else if (!(r->mine >> range & 1) && r->owner[range].s[0]) {
        *ret_node = r->owner[range];
        v = NX_CORE_KEY_OTHERS;
    }
    pthread_mutex_unlock(&r->mu);
    return v;
}

bool nx_core_keyring_enter(nx_core_keyring *r, unsigned range)
{
    pthread_mutex_lock(&r->mu);
    bool is_ours = is_ours_locked(r, range);
    r->n_in[range] += is_ours;
    pthread_mutex_unlock(&r->mu);
    return is_ours;
}

void nx_core_keyring_leave(nx_core_keyring *r, unsigned range)
{
    pthread_mutex_lock(&r->mu);
    bool is_awaited = --r->n_in[range] == 0 && (r->leaving >> range & 1 || atomic_load(&r->is_over));
    pthread_mutex_unlock(&r->mu);
    if (is_awaited)
        kick(r->keys);
}

bool nx_core_keyring_may_begin(nx_core_keyring *r, unsigned range)
{
    pthread_mutex_lock(&r->mu);
    bool is_ours = is_ours_locked(r, range);
    pthread_mutex_unlock(&r->mu);
    return is_ours;
}

/* ---- a turn (nx-keys) ------------------------------------------------------------------------------------------------------------------------ */

static sight *sight_of(nx_core_keys *k, const nx_core_keys_node *n, uint64_t now_ns)
{
    sight *unused = NULL;
    for (unsigned i = 0; i < k->n_sights; i++) {
        if (strcmp(k->sights[i].node.id.s, n->id.s) == 0)
            return &k->sights[i];
        if (nx_core_keys_find_node(&k->table, &k->sights[i].node.id) < 0)
            unused = &k->sights[i];
    }
    if (!unused) /* there are no more nodes than sights */
        unused = &k->sights[k->n_sights++];
    *unused = (sight){*n, now_ns};
    return unused;
}

/* While this node could not renew its own part, others perhaps could not either: they are watched anew. */
static void take_out_dead(nx_core_keys *k, uint64_t now_ns)
{
    if (now_ns >= atomic_load(&k->sure_until_ns))
        k->n_sights = 0;
    for (unsigned i = k->table.n_nodes; i-- > 0;) {
        nx_core_keys_node *n = &k->table.nodes[i];
        if (strcmp(n->id.s, k->node->id.s) == 0)
            continue;
        sight *s = sight_of(k, n, now_ns);
        if (s->node.beat != n->beat)
            *s = (sight){*n, now_ns};
        if (now_ns - s->since_ns <= DEAD_NS)
            continue;
        nx_log(NX_LOG_WARN, "keys.node_gone", "node %s has shown no sign of life for %.0f s: its keys go to other nodes", n->id.s, (double)(now_ns - s->since_ns) / 1e9);
        nx_core_keys_remove_node(&k->table, i);
    }
}

static void share(nx_core_keys *k, nx_core_keyring *r, unsigned node)
{
    bool is_over = atomic_load(&r->is_over);
    nx_core_keys_fn *f = is_over ? nx_core_keys_find_fn(&k->table, r->name) : nx_core_keys_add_fn(&k->table, r->name);
    uint32_t busy = 0, leaving;
    r->next_leaving = 0;
    r->next_unlisted = !f && !is_over;
    if (!f)
        return;
    pthread_mutex_lock(&r->mu);
    for (unsigned i = 0; i < NX_CORE_KEY_RANGES; i++)
        busy |= (uint32_t)(r->n_in[i] > 0) << i;
    leaving = is_over ? UINT32_MAX : r->leaving;
    pthread_mutex_unlock(&r->mu);
    r->next_leaving = nx_core_keys_share(f, node, busy, leaving, is_over);
    if (is_over && !f->has[node])
        nx_core_keys_leave_fn(&k->table, f, node);
}

/* What the table says now holds. node -1: this one is not in it. True: nothing of it is on its way to another node. */
static bool tell(nx_core_keys *k, nx_core_keyring *r, int node)
{
    const nx_core_keys_fn *f = nx_core_keys_find_fn(&k->table, r->name);
    pthread_mutex_lock(&r->mu);
    r->is_unlisted = node >= 0 && r->next_unlisted;
    r->mine = f && node >= 0 ? f->has[node] : 0;
    r->leaving = r->next_leaving;
    for (unsigned i = 0; i < NX_CORE_KEY_RANGES; i++) {
        int owner = f ? nx_core_keys_owner(f, i) : -1;
        r->owner[i] = owner >= 0 ? k->table.nodes[owner].id : (nx_id){0};
    }
    bool is_settled = !r->leaving && (!f || nx_core_keys_is_shared_out(f));
    pthread_mutex_unlock(&r->mu);
    return is_settled;
}

/* Those whose functions this node does not run any more, once all is given up. */
static void unlist_ended(nx_core_keys *k)
{
    pthread_mutex_lock(&k->mu);
    for (nx_core_keyring **at = &k->rings; *at;) {
        nx_core_keyring *r = *at;
        if (!atomic_load(&r->is_over) || r->mine) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        nx_core_keyring_unref(r);
    }
    pthread_mutex_unlock(&k->mu);
}

/* One try, with the rings from `first` on. *ret_wait_ns: until the next turn. */
static nx_err try_turn(nx_core_keys *k, nx_core_keyring *first, uint64_t *ret_wait_ns, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(2 * NX_CORE_KEYS_TEXT_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CORE_KEYS_TEXT_BYTES);
    uint64_t began_ns = nx_clock_ns(), revision = 0, unused;
    nx_slice before = NX_SLICE_NULL;
    bool is_settled = true;
    nx_err err = nx_fab_store_get(k->node->ns, STORE, ENTRY, began_ns + STEP_NS, &a, &before, &revision, reterr);
    if (err != NX_OK && err != NX_ENOENT)
        return err;
    nx_core_keys_parse(before, &k->table);
    take_out_dead(k, began_ns);
    int node = first ? nx_core_keys_add_node(&k->table, &k->node->id) : nx_core_keys_find_node(&k->table, &k->node->id);
    if (node >= 0) {
        k->table.nodes[node].beat++;
        for (nx_core_keyring *r = first; r; r = r->next)
            share(k, r, (unsigned)node);
        if (!first)
            nx_core_keys_remove_node(&k->table, (unsigned)node);
        err = nx_core_keys_format(&k->table, &text);
        if (err == NX_OK)
            err = nx_fab_store_put(k->node->ns, STORE, ENTRY, nx_buf_view(&text), (int64_t)revision, nx_clock_ns() + STEP_NS, &unused, reterr);
        if (err != NX_OK)
            return err;
        atomic_store(&k->sure_until_ns, began_ns + LEASE_NS);
    }
    for (nx_core_keyring *r = first; r; r = r->next)
        is_settled &= tell(k, r, node);
    k->is_listed = first && node >= 0;
    *ret_wait_ns = is_settled ? TURN_NS : QUICK_TURN_NS;
    return NX_OK;
}

static uint64_t turn(nx_core_keys *k)
{
    pthread_mutex_lock(&k->mu);
    nx_core_keyring *first = k->rings; /* only this thread takes any out */
    pthread_mutex_unlock(&k->mu);
    nx_error e = NX_ERROR_INIT;
    uint64_t wait_ns = QUICK_TURN_NS;
    nx_err err = NX_ECONFLICT;
    if (!first && !k->is_listed)
        return TURN_NS;
    for (unsigned i = 0; i < TRIES && (err == NX_ECONFLICT || err == NX_EEXIST); i++)
        err = try_turn(k, first, &wait_ns, &e);
    if (err == NX_OK) {
        unlist_ended(k);
        k->is_late_logged = false;
    } else if (nx_clock_ns() >= atomic_load(&k->sure_until_ns) && !k->is_late_logged) {
        k->is_late_logged = true;
        nx_log(NX_LOG_WARN, "keys.not_sure", "functions with concurrency.key or singleton wait: which node has which keys can't be renewed (%s)", e.msg[0] ? e.msg : nx_err_text(err));
    }
    return wait_ns;
}

static void *keys_main(void *arg)
{
    nx_core_keys *k = arg;
    pthread_setname_np(pthread_self(), "nx-keys");
    bool is_last = false;
    while (!is_last) {
        pthread_mutex_lock(&k->mu);
        is_last = k->is_stopping;
        k->is_kicked = false;
        pthread_mutex_unlock(&k->mu);
        uint64_t wait_ns = turn(k);
        if (is_last)
            (void)turn(k); /* its keyrings have gone: so does the node */
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        wait_ns += (uint64_t)until.tv_nsec;
        until.tv_sec += (time_t)(wait_ns / NX_NS_PER_S);
        until.tv_nsec = (long)(wait_ns % NX_NS_PER_S);
        pthread_mutex_lock(&k->mu);
        while (!is_last && !k->is_kicked && pthread_cond_timedwait(&k->cv, &k->mu, &until) == 0)
            ;
        pthread_mutex_unlock(&k->mu);
    }
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_keys_new(nx_node *n, nx_core_keys **ret)
{
    nx_core_keys *k = calloc(1, sizeof *k);
    pthread_condattr_t attr;
    if (!k)
        return NX_ENOMEM;
    k->node = n;
    pthread_mutex_init(&k->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->cv, &attr);
    pthread_condattr_destroy(&attr);
    *ret = k;
    return NX_OK;
}

void nx_core_keys_stop(nx_core_keys *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->mu);
    k->is_stopping = k->is_kicked = true;
    bool has_thread = k->has_thread;
    k->has_thread = false;
    pthread_cond_signal(&k->cv);
    pthread_mutex_unlock(&k->mu);
    if (has_thread)
        pthread_join(k->thread, NULL);
}

void nx_core_keys_free(nx_core_keys *k)
{
    if (!k)
        return;
    nx_core_keys_stop(k);
    while (k->rings) {
        nx_core_keyring *r = k->rings;
        k->rings = r->next;
        nx_core_keyring_unref(r);
    }
    pthread_cond_destroy(&k->cv);
    pthread_mutex_destroy(&k->mu);
    free(k);
}

/* secrets.c: values by their source: a file, the node's environment, or the store.
 * The store is the namespace's registry, key secret.NAME, a JSON object of the sealed value, when it was set and under which key. Values are read
 * where they are used, each time: a changed one counts from the next call, and none lies about in memory. */
#include "secrets.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES (4u * NX_CORE_SECRET_BYTES) /* base64 and JSON around a value */

struct nx_core_secrets {
    pthread_mutex_t mu;
    nx_config *cfg; /* reference; under mu, as all that follows */
    char data_dir[3500];
    bool has_key;
    nx_core_secret_keys keys;
};

nx_err nx_core_secrets_new(const char *data_dir, nx_config *cfg, nx_core_secrets **ret, nx_error *reterr)
{
    nx_core_secrets *s = calloc(1, sizeof *s);
    if (!s)
        return nx_error_set(reterr, NX_ENOMEM, "secrets");
    snprintf(s->data_dir, sizeof s->data_dir, "%s", data_dir);
    pthread_mutex_init(&s->mu, NULL);
    nx_config_ref(cfg);
    s->cfg = cfg;
    *ret = s;
    return NX_OK;
}

void nx_core_secrets_free(nx_core_secrets *s)
{
    if (!s)
        return;
    nx_config_unref(s->cfg);
    pthread_mutex_destroy(&s->mu);
    nx_wipe(s, sizeof *s);
    free(s);
}

void nx_core_secrets_use(nx_core_secrets *s, nx_config *cfg)
{
    nx_config_ref(cfg);
    pthread_mutex_lock(&s->mu);
    nx_config *old = s->cfg;
    if (!nx_slice_eq(old->secret_key_file, cfg->secret_key_file))
        s->has_key = false;
    s->cfg = cfg;
    pthread_mutex_unlock(&s->mu);
    nx_config_unref(old);
}

/* ---- the key */

static nx_err load_key_locked(nx_core_secrets *s, nx_error *reterr)
{
    char path[4096];
    uint8_t master[NX_SEAL_KEY_BYTES];
    bool is_ours = s->cfg->secret_key_file.n == 0;
    if (is_ours)
        snprintf(path, sizeof path, "%s/secret.key", s->data_dir);
    else if (nx_slice_to_cstr(s->cfg->secret_key_file, path, sizeof path) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "secret_key_file: the path is too long");
    nx_err err = nx_core_secret_key_read(path, is_ours, master, reterr);
    if (!err && (err = nx_core_secret_keys_of(master, &s->keys)) != NX_OK)
        nx_error_set(reterr, err, "the key of secrets: %s", nx_err_text(err));
    nx_wipe(master, sizeof master);
    /* NX_ENOENT would say that the secret is not there; it is the node that is not set up. */
    return err == NX_ENOENT ? nx_error_set(reterr, NX_EUNAVAIL, "the key of secrets is not there: %s", path) : err;
}

/* A copy, so that nothing slow is done under the lock. */
static nx_err get_keys(nx_core_secrets *s, nx_core_secret_keys *ret, nx_error *reterr)
{
    pthread_mutex_lock(&s->mu);
    nx_err err = s->has_key ? NX_OK : load_key_locked(s, reterr);
    s->has_key = err == NX_OK;
    if (!err)
        *ret = s->keys;
    pthread_mutex_unlock(&s->mu);
    return err;
}

/* ---- sources */

/* The place that the configuration names; at[0] is 0: the store. */
typedef struct place {
    bool is_file;
    char at[4096];
} place;

static void find_place(nx_core_secrets *s, nx_slice name, place *ret)
{
    ret->at[0] = 0;
    pthread_mutex_lock(&s->mu);
    for (unsigned i = 0; i < s->cfg->n_secrets; i++) {
        const nx_secret_source *source = &s->cfg->secrets[i];
        if (!nx_slice_eq(source->name, name))
            continue;
        ret->is_file = source->is_file;
        snprintf(ret->at, sizeof ret->at, "%.*s", NX_SLICE_FMT(source->at));
    }
    pthread_mutex_unlock(&s->mu);
}

/* An editor ends a file with a line end, which is not meant. */
static void drop_line_end(nx_buf *value, size_t from)
{
    if (value->n > from && value->p[value->n - 1] == '\n') value->n--;
    if (value->n > from && value->p[value->n - 1] == '\r') value->n--;
}

/* Messages reach functions, which need not know the node's folders: they name the secret. */
static nx_err read_file(const char *path, nx_slice name, nx_buf *value, nx_error *reterr)
{
    size_t from = value->n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return nx_error_set(reterr, NX_ENOENT, "secret %.*s: its file cannot be opened: %s", NX_SLICE_FMT(name), strerror(errno));
    nx_err err = nx_buf_reserve(value, NX_CORE_SECRET_BYTES + 1);
    ssize_t n = 1;
    while (!err && n > 0) {
        n = read(fd, value->p + value->n, NX_CORE_SECRET_BYTES + 1 - (value->n - from));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            err = nx_error_set(reterr, NX_ENOENT, "secret %.*s: its file cannot be read: %s", NX_SLICE_FMT(name), strerror(errno));
        else
            value->n += (size_t)n;
        if (!err && value->n - from > NX_CORE_SECRET_BYTES)
            err = nx_error_set(reterr, NX_ELIMIT, "secret %.*s: its file has more than %u bytes", NX_SLICE_FMT(name), NX_CORE_SECRET_BYTES);
    }
    close(fd);
    if (!err)
        drop_line_end(value, from);
    return err;
}

static nx_err read_variable(const char *variable, nx_slice name, nx_buf *value, nx_error *reterr)
{
    const char *text = getenv(variable);
    if (!text)
        return nx_error_set(reterr, NX_ENOENT, "secret %.*s: the node's environment has no %s", NX_SLICE_FMT(name), variable);
    if (strlen(text) > NX_CORE_SECRET_BYTES)
        return nx_error_set(reterr, NX_ELIMIT, "secret %.*s has more than %u bytes", NX_SLICE_FMT(name), NX_CORE_SECRET_BYTES);
    return nx_buf_append_cstr(value, text);
}

/* ---- the store */

static void store_key(nx_slice name, char out[NX_SECRET_NAME_BYTES + 16])
{
    snprintf(out, NX_SECRET_NAME_BYTES + 16, NX_CORE_SECRET_KEY_PREFIX "%.*s", NX_SLICE_FMT(name));
}

/* What a sealed value is bound to: it can't be moved to another namespace or name. */
static nx_slice seal_context(nx_fab_ns *ns, nx_slice name, char out[256])
{
    int n = snprintf(out, 256, "%.*s/%.*s", NX_SLICE_FMT(nx_fab_ns_name(ns)), NX_SLICE_FMT(name));
    return nx_slice_make(out, n < 0 ? 0 : (size_t)n);
}

static nx_err unseal(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice record, nx_buf *value, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(RECORD_BYTES);
    NX_CLEANUP(nx_core_secret_keys_done)
    nx_core_secret_keys k;
    nx_json *j = NULL;
    char context[256];
    nx_err err = get_keys(s, &k, reterr);
    if (!err && nx_json_parse(record, RECORD_BYTES, &j, NULL) != NX_OK)
        err = nx_error_set(reterr, NX_ECORRUPT, "secret %.*s: what the store has is damaged; set it anew", NX_SLICE_FMT(name));
    if (err)
        return err;
    nx_slice id = nx_json_get_str(j, "key"), text = nx_json_get_str(j, "sealed"), sealed = NX_SLICE_NULL;
    char *bytes = nx_arena_alloc(&a, text.n + 4);
    if (!bytes)
        err = NX_ENOMEM;
    else if (!nx_slice_eq_cstr(id, k.id))
        err = nx_error_set(reterr, NX_ECORRUPT, "secret %.*s is sealed with another key (%.*s) than this node's (%s): give all nodes the same secret_key_file, or set it anew",
                           NX_SLICE_FMT(name), NX_SLICE_FMT(nx_slice_sub(id, 0, 32)), k.id);
    else if (nx_base64_decode(text, &sealed, bytes, text.n + 4) != NX_OK || nx_unseal(k.seal, seal_context(ns, name, context), sealed, value) != NX_OK)
        err = nx_error_set(reterr, NX_ECORRUPT, "secret %.*s: what the store has was altered; set it anew", NX_SLICE_FMT(name));
    nx_json_free(j);
    return err;
}

static nx_err read_store(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_buf *value, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4u << 20);
    char key[NX_SECRET_NAME_BYTES + 16];
    nx_slice record;
    uint64_t revision;
    store_key(name, key);
    nx_err err = nx_fab_kv_get(ns, key, &a, &record, &revision, reterr);
    if (err == NX_ENOENT)
        return nx_error_set(reterr, NX_ENOENT, "secret %.*s has no value: nexus secrets set %.*s", NX_SLICE_FMT(name), NX_SLICE_FMT(name));
    return err ? err : unseal(s, ns, name, record, value, reterr);
}

nx_err nx_core_secret_get(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_buf *value, nx_error *reterr)
{
    place p;
    if (!nx_secret_name_is_valid(name))
        return nx_error_set(reterr, NX_EINVAL, "not the name of a secret");
    find_place(s, name, &p);
    if (!p.at[0])
        return read_store(s, ns, name, value, reterr);
    return p.is_file ? read_file(p.at, name, value, reterr) : read_variable(p.at, name, value, reterr);
}

nx_err nx_core_secret_proof(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice value, nx_buf *keep, nx_error *reterr)
{
    NX_CLEANUP(nx_core_secret_keys_done)
    nx_core_secret_keys k;
    nx_err err = get_keys(s, &k, reterr);
    return err ? err : nx_core_secret_keys_proof(&k, nx_fab_ns_name(ns), name, value, keep);
}

nx_err nx_core_secret_request_digest(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice request, nx_sha256 *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_core_secret_keys_done)
    nx_core_secret_keys k;
    nx_err err = get_keys(s, &k, reterr);
    return err ? err : nx_core_secret_keys_request(&k, nx_fab_ns_name(ns), name, request, ret);
}

static nx_err make_record(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice value, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_core_secret_keys_done)
    nx_core_secret_keys k;
    NX_CLEANUP(nx_buf_done)
    nx_buf sealed = NX_BUF_INIT(NX_CORE_SECRET_BYTES + NX_SEAL_EXTRA_BYTES);
    char context[256], now[NX_RFC3339_MAX];
    nx_err err = get_keys(s, &k, reterr);
    if (!err)
        err = nx_seal(k.seal, seal_context(ns, name, context), value, &sealed);
    char *text = err ? NULL : malloc(4 * ((sealed.n + 2) / 3) + 1);
    if (!err && !text)
        err = NX_ENOMEM;
    if (err)
        return err;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "key", k.id);
    nx_jw_kstr(&w, "set_at", nx_slice_make(now, nx_clock_rfc3339(nx_clock_wall_ns(), 3, now)));
    nx_jw_kstr(&w, "sealed", nx_slice_make(text, nx_base64_encode(nx_buf_view(&sealed), false, text)));
    nx_jw_object_end(&w);
    free(text);
    return nx_jw_err(&w);
}

/* The store takes it only where it would be read from there. */
static nx_err require_store(nx_core_secrets *s, nx_slice name, nx_error *reterr)
{
    place p;
    if (!nx_secret_name_is_valid(name))
        return nx_error_set(reterr, NX_EINVAL, "a secret's name is of letters, digits, _ and -, a letter or _ first, at most %d", NX_SECRET_NAME_BYTES);
    find_place(s, name, &p);
    if (!p.at[0])
        return NX_OK;
    return nx_error_set(reterr, NX_ECONFLICT, "secret %.*s comes from %s %s by the node's configuration (secrets), not from the store", NX_SLICE_FMT(name),
                        p.is_file ? "the file" : "the variable", p.at);
}

nx_err nx_core_secret_put(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice value, bool *ret_is_new, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4u << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf record = NX_BUF_INIT(RECORD_BYTES);
    char key[NX_SECRET_NAME_BYTES + 16];
    nx_err err = require_store(s, name, reterr);
    if (!err && (value.n == 0 || value.n > NX_CORE_SECRET_BYTES))
        err = nx_error_set(reterr, value.n ? NX_ELIMIT : NX_EINVAL, "a secret has 1 to %u bytes, this one %zu", NX_CORE_SECRET_BYTES, value.n);
    if (!err)
        err = make_record(s, ns, name, value, &record, reterr);
    if (err)
        return err;
    store_key(name, key);
    /* Again where another one sets it at the same moment: the last one counts. */
    for (int i = 0; i < 8; i++) {
        nx_slice before;
        uint64_t revision = 0;
        err = nx_fab_kv_get(ns, key, &a, &before, &revision, reterr);
        if (err && err != NX_ENOENT)
            return err;
        *ret_is_new = err == NX_ENOENT;
        err = nx_fab_kv_put(ns, key, nx_buf_view(&record), *ret_is_new ? 0 : revision, &revision, reterr);
        if (err != NX_ECONFLICT && err != NX_EEXIST)
            break;
    }
    return err;
}

nx_err nx_core_secret_delete(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4u << 20);
    char key[NX_SECRET_NAME_BYTES + 16];
    nx_slice before;
    uint64_t revision;
    nx_err err = require_store(s, name, reterr);
    if (err)
        return err;
    store_key(name, key);
    err = nx_fab_kv_get(ns, key, &a, &before, &revision, reterr);
    if (err == NX_ENOENT)
        return nx_error_set(reterr, NX_ENOENT, "the store has no secret %.*s", NX_SLICE_FMT(name));
    return err ? err : nx_fab_kv_delete(ns, key, reterr);
}

/* ---- list */

static int compare_infos(const void *a, const void *b)
{
    nx_slice x = ((const nx_core_secret_info *)a)->name, y = ((const nx_core_secret_info *)b)->name;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

/* The array has room for `more` behind them. */
static nx_err list_places(nx_core_secrets *s, nx_arena *a, unsigned more, nx_core_secret_info **ret, unsigned *n)
{
    pthread_mutex_lock(&s->mu);
    nx_core_secret_info *all = *ret = nx_arena_calloc(a, (size_t)s->cfg->n_secrets + more + 1, sizeof *all);
    nx_err err = all ? NX_OK : NX_ENOMEM;
    for (unsigned i = 0; !err && i < s->cfg->n_secrets; i++) {
        const nx_secret_source *source = &s->cfg->secrets[i];
        nx_core_secret_info *info = &all[(*n)++];
        *info = (nx_core_secret_info){.name = nx_arena_dup(a, source->name), .source = source->is_file ? "file" : "env", .at = nx_arena_dup(a, source->at)};
        err = info->name.p && info->at.p ? NX_OK : NX_ENOMEM;
    }
    pthread_mutex_unlock(&s->mu);
    return err;
}

static void look_whether_available(nx_core_secrets *s, nx_fab_ns *ns, nx_core_secret_info *info)
{
    NX_CLEANUP(nx_buf_wipe)
    nx_buf value = NX_BUF_INIT(NX_CORE_SECRET_BYTES + 1);
    info->is_available = nx_core_secret_get(s, ns, info->name, &value, NULL) == NX_OK;
}

nx_err nx_core_secrets_list(nx_core_secrets *s, nx_fab_ns *ns, nx_arena *a, nx_core_secret_info **ret, unsigned *ret_n, nx_error *reterr)
{
    const nx_slice prefix = NX_SLICE(NX_CORE_SECRET_KEY_PREFIX);
    nx_kv *stored = NULL;
    unsigned n_stored = 0, n = 0;
    nx_err err = nx_fab_kv_list(ns, NX_CORE_SECRET_KEY_PREFIX, a, &stored, &n_stored, reterr);
    if (err)
        return err;
    nx_core_secret_info *all;
    err = list_places(s, a, n_stored, &all, &n);
    if (err)
        return err;
    for (unsigned i = 0; i < n_stored; i++) {
        nx_json *j = NULL;
        place p;
        nx_slice name = nx_slice_sub(stored[i].key, prefix.n, stored[i].key.n);
        find_place(s, name, &p);
        if (p.at[0]) /* it stands there from before; what counts is the configuration */
            continue;
        all[n] = (nx_core_secret_info){.name = name, .source = "store"};
        if (nx_json_parse(stored[i].value, RECORD_BYTES, &j, NULL) == NX_OK)
            all[n].set_at = nx_arena_dup(a, nx_json_get_str(j, "set_at"));
        nx_json_free(j);
        n++;
    }
    for (unsigned i = 0; i < n; i++) look_whether_available(s, ns, &all[i]);
    if (n)
        qsort(all, n, sizeof *all, compare_infos);
    *ret = all;
    *ret_n = n;
    return NX_OK;
}

/* ---- functions that lack one */

static bool is_there(const nx_core_secret_info *all, unsigned n, nx_slice name)
{
    for (unsigned i = 0; i < n; i++)
        if (nx_slice_eq(all[i].name, name))
            return all[i].is_available;
    return false;
}

static void remind(const nx_core_fn *fn, const nx_core_secret_info *all, unsigned n, nx_slice name)
{
    if (!is_there(all, n, name))
        nx_log(NX_LOG_WARN, "secret.missing", "function '%s' was granted secret %.*s, which has no value here: nexus secrets set %.*s", fn->name,
               NX_SLICE_FMT(name), NX_SLICE_FMT(name));
}

static bool wants_secrets(nx_node *n)
{
    bool is_any = false;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !is_any; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        is_any = fn && (fn->settings->n_secrets || fn->settings->n_secret_env);
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    return is_any;
}

void nx_core_secrets_remind(nx_node *n)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(256u << 20);
    nx_core_secret_info *all;
    unsigned count;
    if (!wants_secrets(n) || nx_core_secrets_list(n->secrets, n->ns, &a, &all, &count, NULL) != NX_OK)
        return;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        for (unsigned i = 0; fn && i < fn->settings->n_secrets; i++) remind(fn, all, count, fn->settings->secrets[i]);
        for (unsigned i = 0; fn && i < fn->settings->n_secret_env; i++) remind(fn, all, count, fn->settings->secret_env[i].value);
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
}

/* ---- the host call */

nx_err nx_core_secret_answer(nx_core_secrets *s, nx_fab_ns *ns, const nx_effect_call *c, nx_slice name, nx_error *reterr)
{
    nx_err err = nx_core_secret_get(s, ns, name, c->answer, reterr);
    if (!err)
        err = nx_core_secret_proof(s, ns, name, nx_buf_view(c->answer), c->keep, reterr);
    if (err) {
        nx_wipe(c->answer->p, c->answer->cap);
        nx_buf_clear(c->answer);
    }
    return err;
}

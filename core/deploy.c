/* deploy.c: immutable numbered versions in the registry (KV): fn.<name>.v<N> holds artifact and settings, fn.<name>.live names the version that runs.
 * The artifact itself lies in the log's artifacts by its SHA-256. */
#include "fn.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_MAX (NX_FUNCTION_NAME_BYTES + 32)
#define SETTINGS_BYTES_MAX (256u << 10)
#define DEPLOY_TRIES 16
#define LOAD_AGAIN_NS (5 * NX_NS_PER_S)

typedef struct stored_version {
    nx_sha256 artifact;
    nx_config *cfg; /* reference */
    const nx_fn_config *settings;
    nx_sha256 settings_sha256;
} stored_version;

/* Settings as a file with one function: the same parser and the same checks as nexus.yaml. */
static nx_err parse_settings(nx_slice settings, nx_slice name, nx_config **ret, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf doc = NX_BUF_INIT(SETTINGS_BYTES_MAX + 256);
    nx_err err = nx_buf_append_cstr(&doc, "{\"version\":\"v1\",\"functions\":[");
    if (err == NX_OK)
        err = nx_buf_append_slice(&doc, settings);
    if (err == NX_OK)
        err = nx_buf_append_cstr(&doc, "]}");
    if (err != NX_OK)
        return nx_error_set(reterr, err, "settings of more than %u bytes", SETTINGS_BYTES_MAX);
    nx_config_issues issues = {0};
    nx_config *cfg = NULL;
    err = nx_config_parse(nx_buf_view(&doc), "settings", "/", NX_CONFIG_STORED, &cfg, &issues, reterr);
    if (err != NX_OK && issues.n)
        nx_error_set(reterr, err, "settings: %s: %s", issues.v[0].path, issues.v[0].reason);
    nx_config_issues_done(&issues);
    if (err == NX_OK && (cfg->n_functions != 1 || !nx_slice_eq(cfg->functions[0].name, name))) {
        err = nx_error_set(reterr, NX_EINVAL, "settings are not of one function with the name \"%.*s\"", NX_SLICE_FMT(name));
        nx_config_unref(cfg);
    }
    if (err == NX_OK)
        *ret = cfg;
    return err;
}

static nx_err parse_version(nx_slice json, nx_slice name, stored_version *ret, nx_error *reterr)
{
    nx_json *j = NULL;
    nx_slice settings;
    nx_err err = nx_json_parse(json, SETTINGS_BYTES_MAX, &j, reterr);
    if (err != NX_OK)
        return err;
    err = nx_sha256_parse_hex(nx_json_get_str(j, "artifact"), &ret->artifact);
    if (err == NX_OK)
        err = nx_json_member_bytes(json, NX_SLICE("settings"), &settings);
    nx_json_free(j);
    if (err != NX_OK)
        return nx_error_set(reterr, NX_ECORRUPT, "stored version of '%.*s' is damaged", NX_SLICE_FMT(name));
    err = parse_settings(settings, name, &ret->cfg, reterr);
    if (err != NX_OK)
        return err;
    ret->settings = &ret->cfg->functions[0];
    err = nx_core_settings_digest(ret->settings, &ret->settings_sha256);
    if (err != NX_OK)
        nx_config_unref(ret->cfg);
    return err;
}

static nx_err get_version(nx_node *n, const char *name, const char *version, stored_version *ret, nx_error *reterr)
{
    char key[KEY_MAX];
    nx_slice json;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    snprintf(key, sizeof key, "fn.%s.%s", name, version);
    nx_err err = nx_fab_kv_get(n->ns, key, &a, &json, NULL, reterr);
    if (err == NX_ENOENT)
        return nx_error_set(reterr, NX_ENOENT, "function '%s' has no version %s", name, version);
    return err == NX_OK ? parse_version(json, nx_slice_cstr(name), ret, reterr) : err;
}

static nx_err live_version(nx_node *n, const char *name, char ret_version[32], uint64_t *ret_revision, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4096);
    char key[KEY_MAX];
    nx_slice live;
    snprintf(key, sizeof key, "fn.%s.live", name);
    nx_err err = nx_fab_kv_get(n->ns, key, &a, &live, ret_revision, reterr);
    if (err == NX_OK)
        err = nx_slice_to_cstr(live, ret_version, 32);
    return err == NX_ENOENT ? nx_error_set(reterr, NX_ENOENT, "there is no function '%s'", name) : err;
}

/* ---- what replay asks -------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_program_get(nx_node *n, const nx_sha256 *artifact, uint64_t memory_bytes, nx_rt_program **ret, nx_error *reterr)
{
    nx_err err = nx_rt_program_load(n->rt, NX_SLICE_NULL, artifact, memory_bytes, ret, reterr);
    if (err != NX_ENOENT)
        return err;
    NX_CLEANUP(nx_buf_done)
    nx_buf bytes = NX_BUF_INIT(NX_CORE_MODULE_BYTES_MAX + 1);
    err = nx_fab_artifact_get(n->ns, artifact, &bytes, reterr);
    if (err != NX_OK)
        return err;
    return nx_rt_program_load(n->rt, nx_buf_view(&bytes), artifact, memory_bytes, ret, reterr);
}

/* The version that runs here, where it is the one that is meant: also a project's, which is not stored. */
static bool get_running(nx_node *n, const char *name, const char *version, nx_core_version *ret)
{
    bool is_found = false;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !is_found; s = s->next) {
        nx_core_fn *fn = strcmp(s->name, name) == 0 ? nx_core_slot_fn(s) : NULL;
        if (fn && (strcmp(version, "live") == 0 || strcmp(version, fn->version) == 0) &&
            nx_sha256_parse_hex(nx_slice_cstr(fn->artifact), &ret->artifact) == NX_OK) {
            is_found = true;
            snprintf(ret->name, sizeof ret->name, "%s", fn->version);
            nx_config_ref(fn->cfg);
            ret->cfg = fn->cfg;
            ret->settings = fn->settings;
        }
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    return is_found;
}

nx_err nx_core_version_get(nx_node *n, nx_slice function, nx_slice version, nx_core_version *ret, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1], v[sizeof ret->name];
    if (nx_slice_to_cstr(function, name, sizeof name) != NX_OK || nx_slice_to_cstr(version.n ? version : NX_SLICE("live"), v, sizeof v) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a version of a function", NX_SLICE_FMT(version));
    if (get_running(n, name, v, ret))
        return NX_OK;
    nx_err err = strcmp(v, "live") == 0 ? live_version(n, name, v, NULL, reterr) : NX_OK;
    stored_version sv;
    if (err == NX_OK)
        err = get_version(n, name, v, &sv, reterr);
    if (err != NX_OK)
        return err;
    *ret = (nx_core_version){.artifact = sv.artifact, .cfg = sv.cfg, .settings = sv.settings};
    snprintf(ret->name, sizeof ret->name, "%s", v);
    return NX_OK;
}

void nx_core_version_done(nx_core_version *v)
{
    nx_config_unref(v->cfg);
    v->cfg = NULL;
}

nx_err nx_core_version_artifact(nx_node *n, nx_slice function, nx_slice version, nx_sha256 *ret, nx_error *reterr)
{
    nx_core_version v;
    nx_err err = nx_core_version_get(n, function, version, &v, reterr);
    if (err != NX_OK)
        return err;
    *ret = v.artifact;
    nx_core_version_done(&v);
    return NX_OK;
}

/* The N of a key fn.<name>.v<N>; the prefix is up to the v. */
static bool number_of(nx_slice key, size_t prefix, unsigned *ret)
{
    uint64_t v;
    if (nx_slice_u64(nx_slice_sub(key, prefix, key.n), 1000000, &v) != NX_OK)
        return false;
    *ret = (unsigned)v;
    return true;
}

static int by_number(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

nx_err nx_core_version_numbers(nx_node *n, nx_slice function, nx_arena *a, unsigned **ret, unsigned *ret_n, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena scratch = NX_ARENA_INIT(64u << 20);
    nx_kv *all = NULL;
    unsigned count = 0, found = 0;
    char *prefix = nx_arena_printf(&scratch, "fn.%.*s.v", NX_SLICE_FMT(function));
    if (!prefix)
        return NX_ENOMEM;
    nx_err err = nx_fab_kv_list(n->ns, prefix, &scratch, &all, &count, reterr);
    if (err != NX_OK)
        return err;
    unsigned *v = nx_arena_calloc(a, count + 1, sizeof *v);
    if (!v)
        return NX_ENOMEM;
    for (unsigned i = 0; i < count; i++)
        found += number_of(all[i].key, strlen(prefix), &v[found]);
    if (found == 0)
        return nx_error_set(reterr, NX_ENOENT, "no version of '%.*s' was deployed", NX_SLICE_FMT(function));
    qsort(v, found, sizeof *v, by_number);
    *ret = v;
    *ret_n = found;
    return NX_OK;
}

nx_err nx_core_version_settings(nx_node *n, nx_slice function, nx_slice version, nx_buf *out, nx_error *reterr)
{
    nx_core_version v;
    nx_err err = nx_core_version_get(n, function, version, &v, reterr);
    if (err != NX_OK)
        return err;
    nx_jw w = NX_JW_INIT(out);
    err = nx_fn_config_to_json(v.settings, &w);
    nx_core_version_done(&v);
    return err;
}

/* ---- the registry's functions ------------------------------------------------------------------------------------------------------------- */

/* ret_absent: the settings (a reference), where only the program could not be had. */
static nx_err load_stored(nx_node *n, const char *name, const char *version, nx_core_fn **ret, nx_config **ret_absent, nx_error *reterr)
{
    stored_version sv;
    nx_rt_program *program = NULL;
    nx_err err = get_version(n, name, version, &sv, reterr);
    if (err != NX_OK)
        return err;
    err = nx_core_program_get(n, &sv.artifact, sv.settings->memory_bytes, &program, reterr);
    if (err != NX_OK) {
        *ret_absent = sv.cfg;
        return err;
    }
    err = nx_core_fn_new(sv.cfg, sv.settings, version, &sv.artifact, &sv.settings_sha256, program, ret);
    nx_config_unref(sv.cfg);
    return err;
}

nx_err nx_core_fn_of_version(nx_node *n, const char *name, const char *version, nx_core_fn **ret, nx_error *reterr)
{
    nx_config *absent = NULL;
    nx_err err = load_stored(n, name, version, ret, &absent, reterr);
    nx_config_unref(absent);
    return err;
}

/* One function that can't be loaded doesn't keep the others from running: its earlier version goes on, or its events wait in the log. */
static nx_err without(nx_node *n, nx_core_fn *running, nx_config *take_absent, nx_core_fn_set *set, const nx_error *why, nx_error *reterr)
{
    if (nx_err_is_retryable(why->code))
        nx_core_reload_later(n, LOAD_AGAIN_NS);
    if (running) {
        nx_config_unref(take_absent);
        return nx_core_fn_set_add(set, nx_core_fn_ref(running));
    }
    if (take_absent)
        return nx_core_fn_set_add_absent(set, take_absent);
    /* What it takes is not known: its raw subjects would be given up. */
    return nx_err_is_retryable(why->code) ? nx_error_set(reterr, why->code, "%s", why->msg) : NX_OK;
}

nx_err nx_core_stored_functions(nx_node *n, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_err err = nx_fab_kv_list(n->ns, "fn.", &a, &all, &count, reterr);
    for (unsigned i = 0; err == NX_OK && i < count; i++) {
        nx_slice key = all[i].key;
        char name[NX_FUNCTION_NAME_BYTES + 1], version[32];
        if (!nx_slice_ends(key, NX_SLICE(".live")) || nx_slice_to_cstr(nx_slice_sub(key, 3, key.n - 8), name, sizeof name) != NX_OK ||
            nx_slice_to_cstr(all[i].value, version, sizeof version) != NX_OK || nx_core_fn_set_find(set, name))
            continue;
        nx_core_fn *running = nx_core_fn_set_find(now, name), *fn = NULL;
        if (running && !running->is_project && strcmp(running->version, version) == 0) {
            fn = nx_core_fn_ref(running);
        } else {
            nx_error e = NX_ERROR_INIT;
            nx_config *absent = NULL;
            e.code = load_stored(n, name, version, &fn, &absent, &e);
            if (e.code != NX_OK) {
                nx_log(NX_LOG_ERROR, "function.not_loaded", "function '%s' %s is not running: %s", name, version, e.msg);
                err = without(n, running, absent, set, &e, reterr);
                continue;
            }
        }
        err = nx_core_fn_set_add(set, fn);
    }
    return err;
}

/* ---- deploy ------------------------------------------------------------------------------------------------------------------------------- */

static nx_err next_number(nx_node *n, const char *name, unsigned *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    unsigned *numbers, count = 0;
    nx_err err = nx_core_version_numbers(n, nx_slice_cstr(name), &a, &numbers, &count, reterr);
    if (err != NX_OK && err != NX_ENOENT)
        return err;
    *ret = err == NX_OK ? numbers[count - 1] + 1 : 1;
    return NX_OK;
}

static nx_err put_version(nx_node *n, const char *name, const nx_sha256 *artifact, const nx_fn_config *settings, char ret_version[32], nx_error *reterr)
{
    nx_err err = NX_EEXIST;
    for (int i = 0; i < DEPLOY_TRIES && err == NX_EEXIST; i++) {
        unsigned number;
        char key[KEY_MAX], hex[NX_SHA256_HEX + 1], now[NX_RFC3339_MAX];
        err = next_number(n, name, &number, reterr);
        if (err != NX_OK)
            return err;
        snprintf(ret_version, 32, "v%u", number);
        snprintf(key, sizeof key, "fn.%s.%s", name, ret_version);
        nx_sha256_hex(artifact, hex);
        NX_CLEANUP(nx_buf_done)
        nx_buf json = NX_BUF_INIT(SETTINGS_BYTES_MAX);
        nx_jw w = NX_JW_INIT(&json);
        nx_jw_object(&w);
        nx_jw_kcstr(&w, "function", name);
        nx_jw_kcstr(&w, "version", ret_version);
        nx_jw_kcstr(&w, "artifact", hex);
        nx_jw_kstr(&w, "created_at", nx_slice_make(now, nx_clock_rfc3339(nx_clock_wall_ns(), 3, now)));
        nx_jw_key(&w, "settings");
        err = nx_fn_config_to_json(settings, &w);
        nx_jw_object_end(&w);
        if (err == NX_OK)
            err = nx_jw_err(&w);
        if (err == NX_OK)
            err = nx_fab_kv_put(n->ns, key, nx_buf_view(&json), 0, NULL, reterr);
    }
    return err;
}

/* ret_before: the version that was live, "" for none. */
static nx_err set_live(nx_node *n, const char *name, const char *version, char ret_before[32], nx_error *reterr)
{
    char key[KEY_MAX];
    snprintf(key, sizeof key, "fn.%s.live", name);
    for (int i = 0; i < DEPLOY_TRIES; i++) {
        uint64_t revision = 0;
        ret_before[0] = 0;
        nx_err err = live_version(n, name, ret_before, &revision, reterr);
        if (err != NX_OK && err != NX_ENOENT)
            return err;
        err = nx_fab_kv_put(n->ns, key, nx_slice_cstr(version), err == NX_ENOENT ? 0 : revision, NULL, reterr);
        if (err != NX_ECONFLICT && err != NX_EEXIST)
            return err;
    }
    return nx_error_set(reterr, NX_ECONFLICT, "others keep changing the live version of '%s'", name);
}

/* The node could not take the version (its route is another function's, say): a live version that can't run would keep every node from
 * starting. Nobody is told of a failure here, who is told already that the deployment failed. */
static void take_back_live(nx_node *n, const char *name, const char *version, const char *before)
{
    char key[KEY_MAX], now[32];
    uint64_t revision = 0;
    snprintf(key, sizeof key, "fn.%s.live", name);
    if (live_version(n, name, now, &revision, NULL) != NX_OK || strcmp(now, version) != 0)
        return; /* a later deployment has set it */
    if (before[0])
        nx_fab_kv_put(n->ns, key, nx_slice_cstr(before), revision, NULL, NULL);
    else
        nx_fab_kv_delete(n->ns, key, NULL);
}

static nx_err go_live(nx_node *n, const char *name, const char *version, nx_error *reterr)
{
    char before[32];
    nx_err err = set_live(n, name, version, before, reterr);
    if (err != NX_OK)
        return err;
    pthread_mutex_lock(&n->apply_mu);
    err = nx_core_registry_apply(n, n->cfg, NULL, reterr);
    pthread_mutex_unlock(&n->apply_mu);
    if (err != NX_OK)
        take_back_live(n, name, version, before);
    return err;
}

nx_err nx_core_make_live(nx_node *n, nx_slice function, nx_slice version, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1], v[32];
    stored_version sv;
    if (nx_slice_to_cstr(function, name, sizeof name) != NX_OK || nx_slice_to_cstr(version, v, sizeof v) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a version of a function", NX_SLICE_FMT(version));
    nx_err err = get_version(n, name, v, &sv, reterr);
    if (err != NX_OK)
        return err;
    nx_config_unref(sv.cfg);
    return go_live(n, name, v, reterr);
}

/* The live version, when it has the same artifact and settings. */
static bool is_live_already(nx_node *n, const char *name, const nx_sha256 *artifact, const nx_sha256 *settings, char ret_version[32])
{
    stored_version sv;
    if (live_version(n, name, ret_version, NULL, NULL) != NX_OK || get_version(n, name, ret_version, &sv, NULL) != NX_OK)
        return false;
    bool is_same = memcmp(&sv.artifact, artifact, sizeof *artifact) == 0 && memcmp(&sv.settings_sha256, settings, sizeof *settings) == 0;
    nx_config_unref(sv.cfg);
    return is_same;
}

nx_err nx_core_deploy(nx_node *n, nx_slice function, const nx_sha256 *artifact, nx_slice settings_json, char ret_version[32], bool *ret_created, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1];
    nx_config *cfg = NULL;
    nx_rt_program *program = NULL;
    nx_sha256 settings;
    if (nx_slice_to_cstr(function, name, sizeof name) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "a function's name has at most %d bytes", NX_FUNCTION_NAME_BYTES);
    nx_err err = parse_settings(settings_json, function, &cfg, reterr);
    if (err != NX_OK)
        return err;
    err = nx_core_settings_digest(&cfg->functions[0], &settings);
    if (err == NX_OK && !nx_fab_artifact_has(n->ns, artifact))
        err = nx_error_set(reterr, NX_ENOENT, "the artifact is not there; PUT it to /api/v1/artifacts/{sha256} first");
    if (err == NX_OK)
        err = nx_core_program_get(n, artifact, cfg->functions[0].memory_bytes, &program, reterr);
    if (err == NX_OK && is_live_already(n, name, artifact, &settings, ret_version)) {
        *ret_created = false;
    } else if (err == NX_OK) {
        *ret_created = true;
        err = put_version(n, name, artifact, &cfg->functions[0], ret_version, reterr);
        if (err == NX_OK)
            err = go_live(n, name, ret_version, reterr);
    }
    nx_rt_program_unref(program);
    nx_config_unref(cfg);
    return err;
}

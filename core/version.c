/* version.c: see version.h. Also what replay asks of versions: by number, as aliases name them, or as they run. */
#include "version.h"
#include "alias.h"
#include "fn.h"
#include <stdio.h>
#include <stdlib.h>

#define PUT_TRIES 16

nx_err nx_core_settings_parse(nx_slice settings, nx_slice name, nx_config **ret, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf doc = NX_BUF_INIT(NX_CORE_SETTINGS_BYTES_MAX + 256);
    nx_err err = nx_buf_append_cstr(&doc, "{\"version\":\"v1\",\"functions\":[");
    if (err == NX_OK)
        err = nx_buf_append_slice(&doc, settings);
    if (err == NX_OK)
        err = nx_buf_append_cstr(&doc, "]}");
    if (err != NX_OK)
        return nx_error_set(reterr, err, "settings of more than %u bytes", NX_CORE_SETTINGS_BYTES_MAX);
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

/* The text of a member that needs no escapes; empty where it is absent, or other than that. */
static nx_slice plain_member(nx_slice json, nx_slice key)
{
    nx_slice v;
    if (nx_json_member_bytes(json, key, &v) != NX_OK || v.n < 2 || v.p[0] != '"' || memchr(v.p, '\\', v.n))
        return NX_SLICE("");
    return nx_slice_sub(v, 1, v.n - 2);
}

static nx_err parse(nx_slice json, nx_slice name, nx_core_stored *ret, nx_error *reterr)
{
    nx_slice settings;
    nx_err err = json.n <= NX_CORE_SETTINGS_BYTES_MAX ? nx_sha256_parse_hex(plain_member(json, NX_SLICE("artifact")), &ret->artifact) : NX_ELIMIT;
    if (err == NX_OK)
        err = nx_json_member_bytes(json, NX_SLICE("settings"), &settings);
    if (err != NX_OK)
        return nx_error_set(reterr, NX_ECORRUPT, "stored version of '%.*s' is damaged", NX_SLICE_FMT(name));
    snprintf(ret->derived, sizeof ret->derived, "%.*s", NX_SLICE_FMT(plain_member(json, NX_SLICE("derived"))));
    snprintf(ret->created_at, sizeof ret->created_at, "%.*s", NX_SLICE_FMT(plain_member(json, NX_SLICE("created_at"))));
    err = nx_core_settings_parse(settings, name, &ret->cfg, reterr);
    if (err != NX_OK)
        return err;
    ret->settings = &ret->cfg->functions[0];
    err = nx_core_settings_digest(ret->settings, &ret->settings_sha256);
    if (err != NX_OK)
        nx_core_stored_done(ret);
    return err;
}

static nx_err no_version(const char *function, const char *version, nx_error *reterr)
{
    return nx_error_set(reterr, NX_ENOENT, "function '%s' has no version %s", function, version);
}

nx_err nx_core_stored_get(nx_node *n, const char *function, const char *version, nx_core_stored *ret, nx_error *reterr)
{
    char key[NX_CORE_FN_KEY_BYTES];
    nx_slice json;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    snprintf(key, sizeof key, "fn.%s.%s", function, version);
    nx_err err = nx_core_is_version_name(nx_slice_cstr(version)) ? nx_fab_kv_get(n->ns, key, &a, &json, NULL, reterr) : NX_ENOENT;
    if (err == NX_ENOENT)
        return no_version(function, version, reterr);
    return err == NX_OK ? parse(json, nx_slice_cstr(function), ret, reterr) : err;
}

static int by_key(const void *key, const void *entry)
{
    nx_slice k = nx_slice_cstr(key), e = ((const nx_kv *)entry)->key;
    int c = memcmp(k.p, e.p, k.n < e.n ? k.n : e.n);
    return c ? c : (k.n > e.n) - (k.n < e.n);
}

nx_err nx_core_stored_find(const nx_kv *listed, unsigned n_listed, const char *function, const char *version, nx_core_stored *ret, nx_error *reterr)
{
    char key[NX_CORE_FN_KEY_BYTES];
    snprintf(key, sizeof key, "fn.%s.%s", function, version);
    const nx_kv *found = n_listed && nx_core_is_version_name(nx_slice_cstr(version)) ? bsearch(key, listed, n_listed, sizeof *listed, by_key) : NULL;
    return found ? parse(found->value, nx_slice_cstr(function), ret, reterr) : no_version(function, version, reterr);
}

void nx_core_stored_done(nx_core_stored *v)
{
    nx_config_unref(v->cfg);
    v->cfg = NULL;
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

nx_err nx_core_stored_put(nx_node *n, const char *name, const nx_sha256 *artifact, const char *derived, const nx_fn_config *settings, char ret_version[NX_CORE_VERSION_BYTES],
                          nx_error *reterr)
{
    nx_err err = NX_EEXIST;
    for (int i = 0; i < PUT_TRIES && err == NX_EEXIST; i++) {
        unsigned number;
        char key[NX_CORE_FN_KEY_BYTES], hex[NX_SHA256_HEX + 1], now[NX_RFC3339_MAX];
        err = next_number(n, name, &number, reterr);
        if (err != NX_OK)
            return err;
        snprintf(ret_version, NX_CORE_VERSION_BYTES, "v%u", number);
        snprintf(key, sizeof key, "fn.%s.%s", name, ret_version);
        nx_sha256_hex(artifact, hex);
        NX_CLEANUP(nx_buf_done)
        nx_buf json = NX_BUF_INIT(NX_CORE_SETTINGS_BYTES_MAX);
        nx_jw w = NX_JW_INIT(&json);
        nx_jw_object(&w);
        nx_jw_kcstr(&w, "function", name);
        nx_jw_kcstr(&w, "version", ret_version);
        nx_jw_kcstr(&w, "artifact", hex);
        if (*derived)
            nx_jw_kcstr(&w, "derived", derived);
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

/* What runs here, where it is the one that is meant: also a project's, which is not stored. */
static bool get_running(nx_node *n, const char *name, const char *version, nx_core_version *ret)
{
    bool is_found = false, is_live = strcmp(version, NX_CORE_LIVE) == 0;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !is_found; s = s->next) {
        nx_core_fn *fn = strcmp(s->name, name) == 0 ? nx_core_slot_fn(s) : NULL;
        if (fn && (is_live ? !fn->others : strcmp(version, fn->version) == 0) && nx_sha256_parse_hex(nx_slice_cstr(fn->artifact), &ret->artifact) == NX_OK) {
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

/* The version that an alias stands for; `event`: for this one. */
static nx_err resolve(nx_node *n, const char *name, const char *alias, const nx_event *event, bool is_main, char ret[NX_CORE_VERSION_BYTES], nx_error *reterr)
{
    nx_core_alias a;
    char text[NX_CORE_SPLIT_MAX * 48];
    nx_err err = nx_core_alias_get(n, name, alias, &a, reterr);
    if (err != NX_OK)
        return err;
    if (!event && !is_main && a.split.n > 1) {
        nx_core_split_text(&a.split, text, sizeof text);
        return nx_error_set(reterr, NX_ECONFLICT, "'%s' of '%s' is split (%s): name one of its versions", alias, name, text);
    }
    const nx_core_share *is = event ? &a.split.v[nx_core_split_at(&a.split, nx_core_split_place(nx_slice_cstr(name), event))] : nx_core_split_main(&a.split);
    snprintf(ret, NX_CORE_VERSION_BYTES, "%s", is->version);
    return NX_OK;
}

static nx_err get(nx_node *n, nx_slice function, nx_slice code, const nx_event *event, bool is_main, nx_core_version *ret, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1], v[sizeof ret->name];
    if (nx_slice_to_cstr(function, name, sizeof name) != NX_OK || nx_slice_to_cstr(code.n ? code : NX_SLICE(NX_CORE_LIVE), v, sizeof v) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a version or an alias of a function", NX_SLICE_FMT(code));
    if (get_running(n, name, v, ret))
        return NX_OK;
    nx_err err = nx_core_is_version_name(nx_slice_cstr(v)) ? NX_OK : resolve(n, name, v, event, is_main, v, reterr);
    nx_core_stored sv;
    if (err == NX_OK)
        err = nx_core_stored_get(n, name, v, &sv, reterr);
    if (err != NX_OK)
        return err;
    *ret = (nx_core_version){.artifact = sv.artifact, .cfg = sv.cfg, .settings = sv.settings};
    snprintf(ret->name, sizeof ret->name, "%s", v);
    return NX_OK;
}

nx_err nx_core_version_get(nx_node *n, nx_slice function, nx_slice code, nx_core_version *ret, nx_error *reterr)
{
    return get(n, function, code, NULL, false, ret, reterr);
}

nx_err nx_core_version_for(nx_node *n, nx_slice function, nx_slice code, const nx_event *event, nx_core_version *ret, nx_error *reterr)
{
    return get(n, function, code, event, false, ret, reterr);
}

nx_err nx_core_version_live(nx_node *n, nx_slice function, nx_core_version *ret, nx_error *reterr)
{
    return get(n, function, NX_SLICE_NULL, NULL, true, ret, reterr);
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

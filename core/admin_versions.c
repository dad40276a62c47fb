/* admin_versions.c: the admin API of versions, aliases, deployments and artifacts. */
#include "admin.h"
#include "alias.h"
#include "past.h"
#include "version.h"
#include <stdio.h>
#include <stdlib.h>

#define LIST_BYTES (64u << 20)
#define ALIASES_SHOWN 64u

static nx_err name_of(nx_gw_req *req, char ret[NX_FUNCTION_NAME_BYTES + 1], nx_error *reterr)
{
    nx_slice name = nx_gw_req_param(req, "name");
    return nx_slice_to_cstr(name, ret, NX_FUNCTION_NAME_BYTES + 1) == NX_OK ? NX_OK : nx_error_set(reterr, NX_ENOENT, "there is no function '%.*s'", NX_SLICE_FMT(name));
}

/* ---- versions --------------------------------------------------------------------------------------------------------------------------------- */

/* The aliases of one function, as far as they can be read. */
typedef struct names {
    struct {
        char name[NX_CORE_ALIAS_BYTES];
        nx_core_split split;
    } v[ALIASES_SHOWN];
    unsigned n;
} names;

static void collect(const nx_kv *all, unsigned count, names *ret)
{
    ret->n = 0;
    for (unsigned i = 0; i < count && ret->n < ALIASES_SHOWN; i++) {
        nx_slice function, alias;
        nx_core_alias a;
        if (nx_core_alias_key_parse(all[i].key, &function, &alias) && nx_core_alias_parse(all[i].value, &a) == NX_OK &&
            nx_slice_to_cstr(alias, ret->v[ret->n].name, NX_CORE_ALIAS_BYTES) == NX_OK)
            ret->v[ret->n++].split = a.split;
    }
}

static unsigned share_of(const nx_core_split *s, nx_slice version)
{
    for (unsigned i = 0; i < s->n; i++)
        if (nx_slice_eq_cstr(version, s->v[i].version))
            return s->v[i].share;
    return 0;
}

/* live: whether it gets events; aliases: {"live": 10, "canary": 100}, in percent. */
static void write_names(const names *all, nx_slice version, nx_jw *w)
{
    bool is_live = false;
    for (unsigned i = 0; i < all->n; i++)
        is_live = is_live || (strcmp(all->v[i].name, NX_CORE_LIVE) == 0 && share_of(&all->v[i].split, version));
    nx_jw_kbool(w, "live", is_live);
    nx_jw_key(w, "aliases");
    nx_jw_object(w);
    for (unsigned i = 0; i < all->n; i++)
        if (share_of(&all->v[i].split, version))
            nx_jw_kdouble(w, all->v[i].name, share_of(&all->v[i].split, version) / 100.0);
    nx_jw_object_end(w);
}

static int newest_first(const void *a, const void *b)
{
    const nx_kv *x = a, *y = b;
    if (x->key.n != y->key.n) /* v10 after v9 */
        return x->key.n < y->key.n ? 1 : -1;
    return -memcmp(x->key.p, y->key.p, x->key.n);
}

static nx_err list(nx_node *n, nx_slice function, nx_arena *a, nx_kv **ret, unsigned *ret_n, names *ret_names, nx_error *reterr)
{
    char *prefix = nx_arena_printf(a, "fn.%.*s.", NX_SLICE_FMT(function));
    if (!prefix)
        return NX_ENOMEM;
    nx_err err = nx_fab_kv_list(n->ns, prefix, a, ret, ret_n, reterr);
    if (err == NX_OK)
        collect(*ret, *ret_n, ret_names);
    return err;
}

nx_err nx_core_admin_versions(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_slice name = nx_gw_req_param(req, "name"), function, alias;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_BYTES);
    names named;
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = list(n, name, &a, &all, &count, &named, reterr);
    if (err == NX_OK && count == 0)
        err = nx_error_set(reterr, NX_ENOENT, "no version of '%.*s' was deployed", NX_SLICE_FMT(name));
    if (err != NX_OK)
        return err;
    qsort(all, count, sizeof *all, newest_first);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    nx_buf *out = nx_gw_resp_body(resp);
    for (unsigned i = 0; err == NX_OK && i < count; i++) {
        nx_json *j = NULL;
        if (nx_core_alias_key_parse(all[i].key, &function, &alias) || nx_json_parse(all[i].value, 1u << 20, &j, NULL) != NX_OK)
            continue;
        nx_jw w = NX_JW_INIT(out);
        nx_jw_object(&w);
        nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
        nx_jw_kstr(&w, "function", name);
        nx_jw_kstr(&w, "version", nx_json_get_str(j, "version"));
        nx_jw_kstr(&w, "artifact", nx_json_get_str(j, "artifact"));
        if (nx_json_get_str(j, "derived").n)
            nx_jw_kstr(&w, "derived", nx_json_get_str(j, "derived"));
        nx_jw_kstr(&w, "created_at", nx_json_get_str(j, "created_at"));
        write_names(&named, nx_json_get_str(j, "version"), &w);
        nx_jw_object_end(&w);
        nx_json_free(j);
        err = nx_jw_err(&w);
        if (err == NX_OK)
            err = nx_buf_append_char(out, '\n');
    }
    return err;
}

/* {version} is a version or an alias that is not split. */
nx_err nx_core_admin_version(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char name[NX_FUNCTION_NAME_BYTES + 1], hex[NX_SHA256_HEX + 1];
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_BYTES);
    names named;
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_core_version v = {.name = ""};
    nx_core_stored stored;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = name_of(req, name, reterr);
    if (err == NX_OK)
        err = list(n, nx_slice_cstr(name), &a, &all, &count, &named, reterr);
    if (err == NX_OK)
        err = nx_core_version_get(n, nx_slice_cstr(name), nx_gw_req_param(req, "version"), &v, reterr);
    if (err != NX_OK)
        return err;
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_sha256_hex(&v.artifact, hex);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kcstr(&w, "function", name);
    nx_jw_kcstr(&w, "version", v.name);
    nx_jw_kcstr(&w, "artifact", hex);
    if (nx_core_stored_get(n, name, v.name, &stored, NULL) == NX_OK) { /* not a project's */
        if (*stored.derived)
            nx_jw_kcstr(&w, "derived", stored.derived);
        nx_jw_kcstr(&w, "created_at", stored.created_at);
        nx_core_stored_done(&stored);
    }
    write_names(&named, nx_slice_cstr(v.name), &w);
    nx_jw_key(&w, "settings");
    err = nx_fn_config_to_json(v.settings, &w);
    nx_jw_object_end(&w);
    nx_core_version_done(&v);
    return err == NX_OK ? nx_jw_err(&w) : err;
}

/* ---- deploy -------------------------------------------------------------------------------------------------------------------------------------- */

/* alias: absent: live; null: none. percent: its share of that. */
static nx_err placement(const nx_json *body, nx_core_deployment *d, nx_error *reterr)
{
    const nx_json *alias = nx_json_get(body, "alias");
    double percent = nx_json_get_double(body, "percent", 100);
    d->alias = !alias ? NX_SLICE(NX_CORE_LIVE) : nx_json_str(alias);
    d->share = percent > 0 && percent <= 100 ? (unsigned)(percent * 100 + 0.5) : 0;
    return d->share ? NX_OK : nx_error_set(reterr, NX_EINVAL, "percent is a number above 0, to 100");
}

/* from: since when a new ordered function takes stored events. */
static nx_err past_of(const nx_json *body, nx_core_deployment *d, nx_error *reterr)
{
    nx_slice effects = nx_json_get_str(body, "from_effects");
    uint64_t rate = nx_json_get_u64(body, "from_rate", 0);
    d->from = nx_json_get_str(body, "from");
    d->from_effects = NX_EFFECTS_LIVE;
    d->from_rate = (unsigned)rate;
    if (rate > NX_CORE_BACKFILL_RATE_MAX)
        return nx_error_set(reterr, NX_EINVAL, "from_rate: events a second, from 1 to %u", NX_CORE_BACKFILL_RATE_MAX);
    if (effects.n && (nx_effects_policy_parse(effects, &d->from_effects) != NX_OK || d->from_effects == NX_EFFECTS_RECORDED))
        return nx_error_set(reterr, NX_EINVAL, "from_effects: \"%.*s\" is none of live, deny", NX_SLICE_FMT(effects));
    return NX_OK;
}

nx_err nx_core_admin_deploy(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_json *j = NULL;
    nx_core_deployment d = {.function = nx_gw_req_param(req, "name")};
    char version[NX_CORE_VERSION_BYTES], hex[NX_SHA256_HEX + 1], function[NX_FUNCTION_NAME_BYTES + 1];
    nx_core_stored stored;
    bool is_created = false;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_json_parse(nx_gw_req_body(req), 1u << 20, &j, reterr);
    if (err != NX_OK)
        return err;
    if (nx_sha256_parse_hex(nx_json_get_str(j, "artifact"), &d.artifact) != NX_OK ||
        nx_json_member_bytes(nx_gw_req_body(req), NX_SLICE("settings"), &d.settings) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "the body is {\"artifact\": SHA-256 hex, \"settings\": {…}}");
    else
        err = placement(j, &d, reterr);
    if (err == NX_OK)
        err = past_of(j, &d, reterr);
    if (err == NX_OK)
        err = nx_core_deploy(n, &d, version, &is_created, reterr);
    if (err == NX_OK)
        err = nx_slice_to_cstr(d.function, function, sizeof function);
    nx_json_free(j);
    if (err != NX_OK)
        return err;
    nx_sha256_hex(&d.artifact, hex);
    nx_gw_resp_status(resp, is_created ? 201 : 200);
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kstr(&w, "function", d.function);
    nx_jw_kcstr(&w, "version", version);
    nx_jw_kcstr(&w, "artifact", hex);
    if (nx_core_stored_get(n, function, version, &stored, NULL) == NX_OK) {
        if (*stored.derived)
            nx_jw_kcstr(&w, "derived", stored.derived);
        nx_core_stored_done(&stored);
    }
    nx_jw_kbool(&w, "created", is_created);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

/* ---- aliases --------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err alias_line(nx_node *n, nx_slice function, nx_slice alias, nx_slice value, nx_buf *out)
{
    char f[NX_FUNCTION_NAME_BYTES + 1], name[NX_CORE_ALIAS_BYTES];
    nx_core_alias a;
    if (nx_slice_to_cstr(function, f, sizeof f) != NX_OK || nx_slice_to_cstr(alias, name, sizeof name) != NX_OK || nx_core_alias_parse(value, &a) != NX_OK)
        return NX_OK; /* damaged: the node's log says so */
    nx_jw w = NX_JW_INIT(out);
    nx_core_alias_to_json(n, f, name, &a, &w);
    nx_err err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_char(out, '\n') : err;
}

nx_err nx_core_admin_aliases(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_slice wanted = nx_gw_req_query(req, "function"), function, alias;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_BYTES);
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    char *prefix = wanted.n ? nx_arena_printf(&a, "fn.%.*s.", NX_SLICE_FMT(wanted)) : "fn.";
    if (err == NX_OK)
        err = prefix ? nx_fab_kv_list(n->ns, prefix, &a, &all, &count, reterr) : NX_ENOMEM;
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    for (unsigned i = 0; err == NX_OK && i < count; i++)
        if (nx_core_alias_key_parse(all[i].key, &function, &alias))
            err = alias_line(n, function, alias, all[i].value, nx_gw_resp_body(resp));
    return err;
}

static nx_err both_names(nx_node *n, nx_gw_req *req, char function[NX_FUNCTION_NAME_BYTES + 1], char alias[NX_CORE_ALIAS_BYTES], nx_error *reterr)
{
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = name_of(req, function, reterr);
    if (err == NX_OK)
        err = nx_core_alias_check(nx_gw_req_param(req, "alias"), reterr);
    return err == NX_OK ? nx_slice_to_cstr(nx_gw_req_param(req, "alias"), alias, NX_CORE_ALIAS_BYTES) : err;
}

nx_err nx_core_admin_alias_put(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char function[NX_FUNCTION_NAME_BYTES + 1], alias[NX_CORE_ALIAS_BYTES], to[NX_CORE_VERSION_BYTES] = "";
    nx_json *j = NULL;
    nx_core_alias now;
    nx_err err = both_names(n, req, function, alias, reterr);
    if (err == NX_OK)
        err = nx_json_parse(nx_gw_req_body(req), 64u << 10, &j, reterr);
    if (err != NX_OK)
        return err;
    const nx_json *traffic = nx_json_get(j, "traffic");
    if (!traffic == !nx_json_get_str(j, "to").n || nx_slice_to_cstr(nx_json_get_str(j, "to"), to, sizeof to) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "the body is {\"to\": version or alias} or {\"traffic\": [{\"version\": \"v4\", \"percent\": 10}, …]}");
    else if (traffic)
        err = nx_core_alias_set(n, function, alias, traffic, &now, reterr);
    else
        err = nx_core_alias_copy(n, function, alias, to, &now, reterr);
    nx_json_free(j);
    if (err != NX_OK)
        return err;
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_core_alias_to_json(n, function, alias, &now, &w);
    return nx_jw_err(&w);
}

nx_err nx_core_admin_alias_delete(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char function[NX_FUNCTION_NAME_BYTES + 1], alias[NX_CORE_ALIAS_BYTES];
    nx_err err = both_names(n, req, function, alias, reterr);
    if (err == NX_OK)
        err = nx_core_alias_remove(n, function, alias, reterr);
    if (err != NX_OK)
        return err;
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kcstr(&w, "function", function);
    nx_jw_kcstr(&w, "alias", alias);
    nx_jw_kbool(&w, "removed", true);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

nx_err nx_core_admin_rollback(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char function[NX_FUNCTION_NAME_BYTES + 1], alias[NX_CORE_ALIAS_BYTES] = NX_CORE_LIVE, to[NX_CORE_VERSION_BYTES] = "";
    nx_json *j = NULL;
    nx_core_alias now;
    nx_core_split from;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = name_of(req, function, reterr);
    if (err == NX_OK && nx_gw_req_body(req).n)
        err = nx_json_parse(nx_gw_req_body(req), 64u << 10, &j, reterr);
    if (err != NX_OK)
        return err;
    nx_slice other = nx_json_get_str(j, "alias");
    if (nx_slice_to_cstr(nx_json_get_str(j, "to"), to, sizeof to) != NX_OK || (other.n && nx_slice_to_cstr(other, alias, sizeof alias) != NX_OK))
        err = nx_error_set(reterr, NX_EINVAL, "the body is empty or {\"to\": version, \"alias\": name}");
    nx_json_free(j);
    if (err == NX_OK)
        err = nx_core_alias_roll_back(n, function, alias, to[0] ? to : NULL, &now, &from, reterr);
    if (err != NX_OK)
        return err;
    nx_buf *out = nx_gw_resp_body(resp);
    nx_jw w = NX_JW_INIT(out);
    nx_core_alias_to_json(n, function, alias, &now, &w);
    if ((err = nx_jw_err(&w)) != NX_OK)
        return err;
    out->n--; /* its brace */
    err = nx_buf_append_cstr(out, ",\"from\":");
    w = (nx_jw)NX_JW_INIT(out);
    nx_core_split_to_json(&from, &w);
    if (err == NX_OK)
        err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_char(out, '}') : err;
}

/* ---- artifacts ------------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_admin_artifact_put(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_sha256 want, have = nx_sha256_of(nx_gw_req_body(req));
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK && (nx_sha256_parse_hex(nx_gw_req_param(req, "sha256"), &want) != NX_OK || memcmp(&want, &have, sizeof want) != 0))
        err = nx_error_set(reterr, NX_EINVAL, "the body's SHA-256 is not the one in the path");
    if (err == NX_OK)
        err = nx_fab_artifact_put(n->ns, &want, nx_gw_req_body(req), reterr);
    if (err != NX_OK)
        return err;
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "artifact", nx_gw_req_param(req, "sha256"));
    nx_jw_ku64(&w, "size_bytes", nx_gw_req_body(req).n);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

nx_err nx_core_admin_artifact(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_sha256 digest;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK && nx_sha256_parse_hex(nx_gw_req_param(req, "sha256"), &digest) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "an artifact is named by the 64 hex digits of its SHA-256");
    nx_gw_resp_content_type(resp, "application/wasm");
    return err == NX_OK ? nx_fab_artifact_get(n->ns, &digest, nx_gw_resp_body(resp), reterr) : err;
}

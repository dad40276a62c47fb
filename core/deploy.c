/* deploy.c: a deployment: an immutable numbered version of an uploaded artifact and its settings, and the alias that names it from then on. */
#include "alias.h"
#include "fn.h"
#include "past.h"
#include "version.h"
#include <stdio.h>

static bool is_same(nx_node *n, const char *name, const char *version, const nx_sha256 *artifact, const nx_sha256 *settings)
{
    nx_core_stored v;
    if (nx_core_stored_get(n, name, version, &v, NULL) != NX_OK)
        return false;
    bool same = memcmp(&v.artifact, artifact, sizeof *artifact) == 0 && memcmp(&v.settings_sha256, settings, sizeof *settings) == 0;
    nx_core_stored_done(&v);
    return same;
}

/* A version that the alias names already and that has the same artifact and settings. A pipeline that runs once more changes nothing, also while the
 * version is a canary. Without an alias the newest version is looked at. */
static bool is_there(nx_node *n, const char *name, const char *alias, const nx_sha256 *artifact, const nx_sha256 *settings, char ret_version[NX_CORE_VERSION_BYTES])
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_core_alias now;
    unsigned *numbers, count;
    if (alias) {
        if (nx_core_alias_get(n, name, alias, &now, NULL) != NX_OK)
            return false;
    } else {
        char newest[NX_CORE_VERSION_BYTES];
        if (nx_core_version_numbers(n, nx_slice_cstr(name), &a, &numbers, &count, NULL) != NX_OK)
            return false;
        snprintf(newest, sizeof newest, "v%u", numbers[count - 1]);
        nx_core_split_all(&now.split, newest);
    }
    for (unsigned i = 0; i < now.split.n; i++)
        if (is_same(n, name, now.split.v[i].version, artifact, settings)) {
            snprintf(ret_version, NX_CORE_VERSION_BYTES, "%s", now.split.v[i].version);
            return true;
        }
    return false;
}

static nx_err make(nx_node *n, const char *name, const char *alias, const nx_core_deployment *d, const char *derived, const nx_fn_config *f,
                   char ret_version[NX_CORE_VERSION_BYTES], bool *ret_created, nx_error *reterr)
{
    nx_sha256 settings;
    nx_err err = nx_core_settings_digest(f, &settings);
    if (err != NX_OK)
        return err;
    *ret_created = !is_there(n, name, alias, &d->artifact, &settings, ret_version);
    if (!*ret_created)
        return NX_OK;
    /* What was put long ago might be freed before the version has it. */
    err = nx_fab_artifact_touch(n->ns, &d->artifact, reterr);
    if (err == NX_ENOENT)
        err = nx_error_set(reterr, NX_ECONFLICT, "the artifact was freed a moment ago, as one that nobody needed; deploy again");
    if (err == NX_OK)
        err = nx_core_stored_put(n, name, &d->artifact, derived, f, ret_version, reterr);
    if (err == NX_OK && alias)
        err = nx_core_alias_give(n, name, alias, ret_version, d->share ? d->share : NX_CORE_SHARE_ALL, reterr);
    return err;
}

/* Its consumers begin with the past, so that is said before there are any. */
static nx_err ask_for_past(nx_node *n, const char *name, const nx_core_deployment *d, const nx_fn_config *f, nx_error *reterr)
{
    uint64_t since;
    if (!d->from.n || f->ordering != NX_ORDERING_KEY)
        return NX_OK;
    nx_err err = nx_clock_parse_when("from", d->from, nx_clock_wall_ns(), &since, reterr);
    return err == NX_OK ? nx_core_past_ask(n, name, since, d->from_rate, d->from_effects, reterr) : err;
}

nx_err nx_core_deploy(nx_node *n, const nx_core_deployment *d, char ret_version[32], bool *ret_created, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1], alias[NX_CORE_ALIAS_BYTES];
    nx_config *cfg = NULL;
    nx_rt_program *program = NULL;
    nx_sha256 derived;
    char hex[NX_SHA256_HEX + 1] = "";
    if (nx_slice_to_cstr(d->function, name, sizeof name) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "a function's name has at most %d bytes", NX_FUNCTION_NAME_BYTES);
    nx_err err = d->alias.n ? nx_core_alias_check(d->alias, reterr) : NX_OK;
    if (err == NX_OK && d->alias.n)
        err = nx_slice_to_cstr(d->alias, alias, sizeof alias);
    if (err == NX_OK)
        err = nx_core_settings_parse(d->settings, d->function, &cfg, reterr);
    if (err != NX_OK)
        return err;
    if (!nx_fab_artifact_has(n->ns, &d->artifact))
        err = nx_error_set(reterr, NX_ENOENT, "the artifact is not there; PUT it to /api/v1/artifacts/{sha256} first");
    if (err == NX_OK)
        err = nx_core_program_get(n, &d->artifact, cfg->functions[0].memory_bytes, &program, reterr);
    if (err == NX_OK && nx_rt_program_derived(program, &derived))
        nx_sha256_hex(&derived, hex);
    if (err == NX_OK)
        err = ask_for_past(n, name, d, &cfg->functions[0], reterr);
    if (err == NX_OK)
        err = make(n, name, d->alias.n ? alias : NULL, d, hex, &cfg->functions[0], ret_version, ret_created, reterr);
    nx_rt_program_unref(program);
    nx_config_unref(cfg);
    return err;
}

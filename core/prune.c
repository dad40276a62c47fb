/* prune.c: see prune.h. */
#include "prune.h"
#include "alias.h"
#include "version.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMERS_MAX 10000u

/* ---- what there is ------------------------------------------------------------------------------------------------------------------------------- */

static int by_function(const void *a, const void *b)
{
    const nx_core_old_version *x = a, *y = b;
    size_t n = x->function.n < y->function.n ? x->function.n : y->function.n;
    int c = memcmp(x->function.p, y->function.p, n);
    if (c || x->function.n != y->function.n)
        return c ? c : (x->function.n > y->function.n) - (x->function.n < y->function.n);
    return (x->number > y->number) - (x->number < y->number);
}

static int by_digest(const void *a, const void *b) { return memcmp(((const nx_core_old_artifact *)a)->is.digest.b, ((const nx_core_old_artifact *)b)->is.digest.b, sizeof(nx_sha256)); }

static nx_core_old_version *find(const nx_core_survey *s, nx_slice function, nx_slice name)
{
    uint64_t number;
    if (name.n < 2 || name.p[0] != 'v' || nx_slice_u64(nx_slice_sub(name, 1, name.n), UINT32_MAX, &number) != NX_OK || !s->n_versions)
        return NULL;
    nx_core_old_version wanted = {.function = function, .number = (unsigned)number};
    return bsearch(&wanted, s->versions, s->n_versions, sizeof wanted, by_function);
}

/* Both: whether that was news. */
static bool need_version(const nx_core_survey *s, nx_slice function, nx_slice name, nx_core_need by)
{
    nx_core_old_version *v = find(s, function, name);
    bool is_new = v && v->by == NX_CORE_NEEDED_NOT;
    if (is_new)
        v->by = by;
    return is_new;
}

static bool need_artifact(const nx_core_survey *s, const nx_sha256 *digest)
{
    nx_core_old_artifact wanted = {.is.digest = *digest};
    nx_core_old_artifact *a = s->n_artifacts ? bsearch(&wanted, s->artifacts, s->n_artifacts, sizeof wanted, by_digest) : NULL;
    bool is_new = a && !a->is_needed;
    if (is_new)
        a->is_needed = true;
    return is_new;
}

static bool read_version(const nx_kv *kv, nx_core_old_version *ret)
{
    nx_slice rest, function;
    uint64_t number;
    nx_json *j = NULL;
    if (!nx_slice_starts(kv->key, NX_SLICE("fn.")))
        return false;
    function = nx_slice_split(nx_slice_sub(kv->key, 3, kv->key.n), '.', &rest);
    if (rest.n < 2 || rest.p[0] != 'v' || nx_slice_u64(nx_slice_sub(rest, 1, rest.n), UINT32_MAX, &number) != NX_OK)
        return false;
    *ret = (nx_core_old_version){.function = function, .key = kv->key, .value = kv->value, .number = (unsigned)number};
    /* What can't be read is not judged. */
    if (nx_json_parse(kv->value, NX_CORE_SETTINGS_BYTES_MAX, &j, NULL) != NX_OK || nx_sha256_parse_hex(nx_json_get_str(j, "artifact"), &ret->artifact) != NX_OK ||
        nx_clock_parse_rfc3339(nx_json_get_str(j, "created_at"), &ret->created_wall_ns) != NX_OK)
        ret->created_wall_ns = UINT64_MAX;
    nx_json_free(j);
    return true;
}

static nx_err load_versions(nx_core_survey *s, nx_kv **ret_all, unsigned *ret_n, nx_error *reterr)
{
    nx_err err = nx_fab_kv_list(s->node->ns, "fn.", &s->arena, ret_all, ret_n, reterr);
    if (err != NX_OK)
        return err;
    s->versions = nx_arena_calloc(&s->arena, *ret_n + 1u, sizeof *s->versions);
    if (!s->versions)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    s->n_versions = 0;
    for (unsigned i = 0; i < *ret_n; i++)
        s->n_versions += read_version(&(*ret_all)[i], &s->versions[s->n_versions]);
    qsort(s->versions, s->n_versions, sizeof *s->versions, by_function);
    return NX_OK;
}

static nx_err load_artifacts(nx_core_survey *s, nx_error *reterr)
{
    nx_fab_artifact *all = NULL;
    unsigned n = 0;
    nx_err err = nx_fab_artifacts_list(s->node->ns, &s->arena, &all, &n, reterr);
    if (err != NX_OK)
        return err;
    s->artifacts = nx_arena_calloc(&s->arena, n + 1u, sizeof *s->artifacts);
    if (!s->artifacts)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < n; i++)
        s->artifacts[i] = (nx_core_old_artifact){all[i], all[i].put_wall_ns >= s->before_wall_ns};
    s->n_artifacts = n;
    qsort(s->artifacts, n, sizeof *s->artifacts, by_digest);
    return NX_OK;
}

/* ---- what needs it ---------------------------------------------------------------------------------------------------------------------------------- */

static void need_split(const nx_core_survey *s, nx_slice function, const nx_core_split *split)
{
    for (unsigned i = 0; i < split->n; i++)
        need_version(s, function, nx_slice_cstr(split->v[i].version), NX_CORE_NEEDED_ALIAS);
}

static bool need_alias(const nx_core_survey *s, const nx_kv *kv)
{
    nx_slice function, name;
    nx_core_alias a;
    if (!nx_core_alias_key_parse(kv->key, &function, &name))
        return true;
    if (nx_core_alias_parse(kv->value, &a) != NX_OK)
        return false;
    need_split(s, function, &a.split);
    for (unsigned i = 0; i < a.n_before; i++)
        need_split(s, function, &a.before[i]);
    return true;
}

static nx_err need_aliases(const nx_core_survey *s, const nx_kv *all, unsigned n, nx_error *reterr)
{
    for (unsigned i = 0; i < n; i++)
        if (!need_alias(s, &all[i]))
            return nx_error_set(reterr, NX_ECORRUPT, "the alias %.*s is damaged: what it names is not known, so nothing is removed", NX_SLICE_FMT(all[i].key));
    return NX_OK;
}

/* The newest of each function, what is young, and what nobody asked about. */
static void need_by_age(nx_core_survey *s)
{
    unsigned newer = 0;
    for (unsigned i = s->n_versions; i-- > 0;) {
        nx_core_old_version *v = &s->versions[i];
        newer = i + 1 < s->n_versions && nx_slice_eq(v->function, s->versions[i + 1].function) ? newer + 1 : 0;
        if (v->by != NX_CORE_NEEDED_NOT)
            continue;
        if (newer < s->keep)
            v->by = NX_CORE_NEEDED_NEWEST;
        else if (v->created_wall_ns >= s->before_wall_ns || (s->function.n && !nx_slice_eq(s->function, v->function)))
            v->by = NX_CORE_NEEDED_YOUNG;
    }
}

static nx_err need_jobs(nx_core_survey *s, nx_error *reterr)
{
    nx_id ids[NX_JOBS_ACTIVE_MAX];
    unsigned n = 0;
    nx_err err = nx_job_active_get(s->node, ids, &n, reterr);
    for (unsigned i = 0; err == NX_OK && i < n; i++) {
        nx_job_record r;
        nx_json *spec = NULL;
        nx_sha256 digest;
        err = nx_job_record_get(s->node, &ids[i], &s->arena, &r, reterr);
        if (err == NX_OK && nx_json_parse(r.spec, NX_JOB_SPEC_BYTES, &spec, NULL) == NX_OK) {
            need_version(s, nx_json_get_str(spec, "function"), nx_json_get_str(spec, "against"), NX_CORE_NEEDED_JOB);
            if (nx_sha256_parse_hex(nx_json_get_str(spec, "artifact"), &digest) == NX_OK)
                need_artifact(s, &digest);
        }
        nx_json_free(spec);
        if (err == NX_ENOENT) /* just submitted, or just over */
            err = NX_OK;
    }
    return err;
}

/* Events that wait to be redriven to a version. */
static nx_err need_timers(nx_core_survey *s, nx_error *reterr)
{
    nx_fab_timer *v = NULL;
    unsigned n = 0;
    nx_err err = nx_fab_timers_list(s->node->ns, &(nx_fab_timer_scan){.limit = TIMERS_MAX}, &s->arena, &v, &n, reterr);
    for (unsigned i = 0; err == NX_OK && i < n; i++)
        need_version(s, v[i].function, nx_slice_split(v[i].note, ',', &(nx_slice){0}), NX_CORE_NEEDED_TIMER);
    for (unsigned i = 0; err == NX_OK && n == TIMERS_MAX && i < s->n_versions; i++)
        if (s->versions[i].by == NX_CORE_NEEDED_NOT) /* there may be more of them */
            s->versions[i].by = NX_CORE_NEEDED_TIMER;
    return err;
}

static void need_running(nx_core_survey *s)
{
    pthread_rwlock_rdlock(&s->node->snap_mu);
    for (nx_core_slot *slot = s->node->slots; slot; slot = slot->next) {
        nx_core_fn *fn = nx_core_slot_fn(slot);
        nx_sha256 digest;
        if (fn && nx_sha256_parse_hex(nx_slice_cstr(fn->artifact), &digest) == NX_OK)
            need_artifact(s, &digest);
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&s->node->snap_mu);
}

bool nx_core_survey_has_candidates(const nx_core_survey *s)
{
    for (unsigned i = 0; i < s->n_versions; i++)
        if (s->versions[i].by == NX_CORE_NEEDED_NOT)
            return true;
    for (unsigned i = 0; i < s->n_artifacts; i++)
        if (!s->artifacts[i].is_needed)
            return true;
    return false;
}

static bool need_recorded(void *self, const nx_run *run)
{
    nx_core_survey *s = self;
    nx_sha256 digest;
    if (++s->n_records % 4096 == 0 && s->job) {
        nx_job_progress_set(s->job, &(nx_job_progress){.done = s->n_records});
        if (nx_job_is_over(s->job))
            return false;
    }
    bool is_new = need_version(s, run->function, run->version, NX_CORE_NEEDED_RECORDING);
    if (nx_sha256_parse_hex(run->artifact, &digest) == NX_OK)
        is_new = need_artifact(s, &digest) || is_new;
    return !is_new || nx_core_survey_has_candidates(s); /* what old versions left is at the stream's beginning: the rest is mostly not read */
}

static void need_artifacts_of(const nx_core_survey *s)
{
    for (unsigned i = 0; i < s->n_versions; i++)
        if (s->versions[i].by != NX_CORE_NEEDED_NOT)
            need_artifact(s, &s->versions[i].artifact);
}

/* Artifacts first: one that is put or touched after that is not removed, whatever else was missed. */
nx_err nx_core_survey_make(nx_core_survey *s, nx_error *reterr)
{
    nx_kv *all = NULL;
    unsigned n = 0;
    nx_err err = load_artifacts(s, reterr);
    if (err == NX_OK)
        err = load_versions(s, &all, &n, reterr);
    if (err == NX_OK)
        err = need_aliases(s, all, n, reterr);
    if (err != NX_OK)
        return err;
    need_by_age(s);
    need_running(s);
    err = need_jobs(s, reterr);
    if (err == NX_OK)
        err = need_timers(s, reterr);
    if (err == NX_OK)
        need_artifacts_of(s);
    return err;
}

static nx_err look_at_recordings(nx_core_survey *s, nx_error *reterr)
{
    nx_err err = NX_OK;
    for (int replays = 0; err == NX_OK && replays < 2 && nx_core_survey_has_candidates(s); replays++)
        err = nx_fab_records_visit(s->node->ns, replays, need_recorded, s, reterr);
    return err == NX_OK && s->job && nx_job_is_over(s->job) ? NX_ECANCELED : err;
}

/* ---- removing ------------------------------------------------------------------------------------------------------------------------------------------ */

/* Who names a version looks afterwards whether it is there; this removes it and looks afterwards whether it was named. One of the two sees the other. */
static nx_err remove_version(nx_core_survey *s, nx_core_old_version *v, nx_error *reterr)
{
    char key[NX_CORE_FN_KEY_BYTES], prefix[NX_CORE_FN_KEY_BYTES];
    nx_kv *all = NULL;
    unsigned n = 0;
    nx_err err = nx_slice_to_cstr(v->key, key, sizeof key);
    snprintf(prefix, sizeof prefix, "fn.%.*s.", NX_SLICE_FMT(v->function));
    if (err == NX_OK)
        err = nx_fab_kv_delete(s->node->ns, key, reterr);
    if (err == NX_OK)
        err = nx_fab_kv_list(s->node->ns, prefix, &s->arena, &all, &n, reterr);
    if (err == NX_OK)
        err = need_aliases(s, all, n, reterr);
    if (err == NX_OK && v->by == NX_CORE_NEEDED_NOT)
        err = need_jobs(s, reterr);
    if (err == NX_OK && v->by == NX_CORE_NEEDED_NOT)
        err = need_timers(s, reterr);
    if (err == NX_OK && v->by == NX_CORE_NEEDED_NOT)
        return NX_OK;
    nx_err back = nx_fab_kv_put(s->node->ns, key, v->value, 0, NULL, err == NX_OK ? reterr : NULL);
    return err != NX_OK ? err : back;
}

static nx_err remove_versions(nx_core_survey *s, nx_error *reterr)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && i < s->n_versions; i++)
        if (s->versions[i].by == NX_CORE_NEEDED_NOT)
            err = remove_version(s, &s->versions[i], reterr);
    return err;
}

/* Versions that were made since count too. */
static nx_err free_artifacts(nx_core_survey *s, bool is_dry, nx_error *reterr)
{
    nx_core_survey now = {.node = s->node, .arena = NX_ARENA_INIT(NX_CORE_SURVEY_BYTES), .artifacts = s->artifacts, .n_artifacts = s->n_artifacts};
    nx_kv *all = NULL;
    unsigned n = 0;
    nx_err err = is_dry ? NX_OK : load_versions(&now, &all, &n, reterr);
    for (unsigned i = 0; i < now.n_versions; i++)
        now.versions[i].by = NX_CORE_NEEDED_NEWEST;
    need_artifacts_of(err == NX_OK && !is_dry ? &now : s);
    nx_arena_done(&now.arena);
    for (unsigned i = 0; err == NX_OK && i < s->n_artifacts; i++) {
        if (s->artifacts[i].is_needed)
            continue;
        nx_err gone = is_dry ? NX_OK : nx_fab_artifact_delete(s->node->ns, &s->artifacts[i].is, reterr);
        if (gone == NX_OK) {
            s->n_freed++;
            s->freed_bytes += s->artifacts[i].is.size_bytes;
        } else if (gone != NX_ECONFLICT) { /* put again since */
            err = gone;
        }
    }
    return err;
}

nx_err nx_core_survey_prune(nx_core_survey *s, bool is_dry, nx_error *reterr)
{
    nx_err err = nx_core_survey_has_candidates(s) ? look_at_recordings(s, reterr) : NX_OK;
    if (err == NX_OK && !is_dry)
        err = remove_versions(s, reterr);
    return err == NX_OK ? free_artifacts(s, is_dry, reterr) : err;
}

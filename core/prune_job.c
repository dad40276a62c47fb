/* prune_job.c: the job "prune": old versions that nothing needs go, and artifacts with them; asked for, or by itself as `retention.versions` says. */
#include "prune.h"
#include "version.h"
#include <stdio.h>

#define SHOWN_MAX 200u /* removed versions that the summary lists */
#define KEEP_MAX 1000000u
#define CLAIM_KEY "prune.last"
#define LOOK_NS (10 * 60 * NX_NS_PER_S)
#define EVERY_MAX_NS (6 * 3600 * NX_NS_PER_S)

static const char *const need_names[] = {"", "alias", "newest", "young", "job", "timer", "recording"};

/* ---- the job -------------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err summarise(const nx_core_survey *s, bool is_dry, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    uint64_t kept[NX_CORE_NEEDED_KINDS] = {0};
    unsigned shown = 0;
    char name[NX_CORE_VERSION_BYTES], hex[NX_SHA256_HEX + 1];
    nx_jw_object(&w);
    nx_jw_kbool(&w, "dry_run", is_dry);
    nx_jw_key(&w, "removed");
    nx_jw_array(&w);
    for (unsigned i = 0; i < s->n_versions; i++) {
        const nx_core_old_version *v = &s->versions[i];
        if (!s->function.n || nx_slice_eq(s->function, v->function))
            kept[v->by]++;
        if (v->by != NX_CORE_NEEDED_NOT || shown++ >= SHOWN_MAX)
            continue;
        snprintf(name, sizeof name, "v%u", v->number);
        nx_sha256_hex(&v->artifact, hex);
        nx_jw_object(&w);
        nx_jw_kstr(&w, "function", v->function);
        nx_jw_kcstr(&w, "version", name);
        nx_jw_kcstr(&w, "artifact", hex);
        nx_jw_object_end(&w);
    }
    nx_jw_array_end(&w);
    nx_jw_ku64(&w, "removed_versions", kept[NX_CORE_NEEDED_NOT]);
    nx_jw_ku64(&w, "freed_artifacts", s->n_freed);
    nx_jw_ku64(&w, "freed_bytes", s->freed_bytes);
    nx_jw_key(&w, "kept");
    nx_jw_object(&w);
    for (unsigned i = NX_CORE_NEEDED_NOT + 1; i < NX_CORE_NEEDED_KINDS; i++)
        nx_jw_ku64(&w, need_names[i], kept[i]);
    nx_jw_object_end(&w);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static void log_end(const nx_core_survey *s)
{
    unsigned removed = 0;
    for (unsigned i = 0; i < s->n_versions; i++)
        removed += s->versions[i].by == NX_CORE_NEEDED_NOT;
    if (removed || s->n_freed)
        nx_log(NX_LOG_INFO, "versions.pruned", "%u old versions are removed, %u artifacts (%llu bytes) freed", removed, s->n_freed, (unsigned long long)s->freed_bytes);
}

static nx_err run(nx_node *n, nx_job *job, nx_error *reterr)
{
    const nx_json *spec = nx_job_spec(job);
    bool is_dry = nx_json_get_bool(spec, "dry_run", false);
    nx_core_survey s = {
        .node = n,
        .arena = NX_ARENA_INIT(NX_CORE_SURVEY_BYTES),
        .function = nx_json_get_str(spec, "function"),
        .before_wall_ns = nx_json_get_u64(spec, "before_ns", 0),
        .keep = (unsigned)nx_json_get_u64(spec, "keep", KEEP_MAX),
        .job = job,
    };
    NX_CLEANUP(nx_buf_done)
    nx_buf summary = NX_BUF_INIT(NX_JOB_SUMMARY_BYTES);
    nx_err err = nx_core_survey_make(&s, reterr);
    if (err == NX_OK)
        err = nx_core_survey_prune(&s, is_dry, reterr);
    if (err == NX_OK) {
        if (!is_dry)
            log_end(&s);
        nx_job_progress_set(job, &(nx_job_progress){.done = s.n_records});
        err = summarise(&s, is_dry, &summary);
    }
    nx_arena_done(&s.arena);
    return err == NX_OK ? nx_job_save(job, NX_SLICE("{}"), nx_buf_view(&summary), reterr) : err;
}

static void settings_of(nx_node *n, uint64_t *ret_max_age_ns, unsigned *ret_keep)
{
    pthread_mutex_lock(&n->apply_mu);
    *ret_max_age_ns = n->cfg->versions_max_age_ns;
    *ret_keep = n->cfg->versions_keep;
    pthread_mutex_unlock(&n->apply_mu);
}

static nx_err prepare(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr)
{
    nx_slice older = nx_json_get_str(asked, "older_than"), function = nx_json_get_str(asked, "function");
    uint64_t age_ns, now = nx_clock_wall_ns();
    unsigned keep;
    char text[NX_RFC3339_MAX];
    settings_of(n, &age_ns, &keep);
    if (older.n && nx_duration_parse(older, &age_ns) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "older_than: \"%.*s\" is not a duration (try 30d)", NX_SLICE_FMT(older));
    int64_t asked_keep = nx_json_get_i64(asked, "keep", keep);
    if (asked_keep < 1 || asked_keep > KEEP_MAX)
        return nx_error_set(reterr, NX_EINVAL, "keep: how many of the newest versions stay, from 1 to %u", KEEP_MAX);
    uint64_t before = age_ns < now ? now - age_ns : 0;
    nx_jw_object(w);
    if (function.n)
        nx_jw_kstr(w, "function", function);
    nx_jw_kstr(w, "before", nx_slice_make(text, nx_clock_rfc3339(before, 3, text)));
    nx_jw_ku64(w, "before_ns", before);
    nx_jw_ku64(w, "keep", (uint64_t)asked_keep);
    nx_jw_kbool(w, "dry_run", nx_json_get_bool(asked, "dry_run", false));
    nx_jw_object_end(w);
    return NX_OK;
}

const nx_job_kind nx_core_prune_job = {.name = "prune", .prepare = prepare, .run = run};

/* ---- by itself ----------------------------------------------------------------------------------------------------------------------------------------- */

/* One node of the namespace looks, each time: whose compare-and-set comes through. */
static bool claim(nx_node *n, uint64_t every_ns)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    nx_slice last;
    uint64_t revision = 0, last_wall_ns = 0, now = nx_clock_wall_ns();
    char text[NX_RFC3339_MAX];
    nx_err err = nx_fab_kv_get(n->ns, CLAIM_KEY, &a, &last, &revision, NULL);
    if (err != NX_OK && err != NX_ENOENT)
        return false;
    if (err == NX_OK && nx_clock_parse_rfc3339(last, &last_wall_ns) == NX_OK && last_wall_ns <= now && now - last_wall_ns < every_ns)
        return false;
    return nx_fab_kv_put(n->ns, CLAIM_KEY, nx_slice_make(text, nx_clock_rfc3339(now, 3, text)), revision, NULL, NULL) == NX_OK;
}

static void submit(nx_node *n)
{
    nx_json *asked = NULL;
    char id[NX_ID_LEN + 1];
    nx_error e = NX_ERROR_INIT;
    if (nx_json_parse(NX_SLICE("{}"), 16, &asked, NULL) != NX_OK)
        return;
    if (nx_job_submit(n, NX_SLICE("prune"), asked, id, &e) != NX_OK)
        nx_log(NX_LOG_WARN, "versions.not_pruned", "old versions could not be looked for: %s", e.msg);
    nx_json_free(asked);
}

static void look_job(nx_core_job *job)
{
    nx_node *n = (nx_node *)(void *)((char *)job - offsetof(nx_node, prune_job));
    nx_core_survey s = {.node = n, .arena = NX_ARENA_INIT(NX_CORE_SURVEY_BYTES)};
    uint64_t age_ns;
    settings_of(n, &age_ns, &s.keep);
    uint64_t every_ns = age_ns / 8 < EVERY_MAX_NS ? age_ns / 8 : EVERY_MAX_NS, now = nx_clock_wall_ns();
    s.before_wall_ns = age_ns < now ? now - age_ns : 0;
    /* Without candidates there is no job: lists of jobs are for people. */
    if (claim(n, every_ns) && nx_core_survey_make(&s, NULL) == NX_OK && nx_core_survey_has_candidates(&s))
        submit(n);
    nx_arena_done(&s.arena);
    atomic_store(&n->prune_due_ns, nx_clock_ns() + (every_ns < LOOK_NS ? every_ns : LOOK_NS));
}

void nx_core_prune_tick(nx_node *n, uint64_t now_ns)
{
    uint64_t due = atomic_load(&n->prune_due_ns);
    if (due > now_ns || atomic_load(&n->is_draining) || !atomic_compare_exchange_strong(&n->prune_due_ns, &due, UINT64_MAX))
        return;
    n->prune_job.run = look_job;
    if (nx_core_jobs_post(n->jobs, &n->prune_job) != NX_OK)
        atomic_store(&n->prune_due_ns, now_ns + LOOK_NS);
}

/* secret_env.c: variables that hold secrets (`secrets: {env: …}`): read when the attempt is about to begin, on a job thread, because a file or the
 * log is asked. The guest's environment gets the value, the record its proof. */
#include "dispatch.h"
#include "secrets.h"

/* The value and what the record has in its place, both in the run's arena; the value is wiped with the run. */
static nx_err fetch(nx_core_run *r, const nx_kv *wanted, nx_slice *ret_value, nx_slice *ret_proof, nx_error *reterr)
{
    nx_node *n = r->d->node;
    NX_CLEANUP(nx_buf_wipe)
    nx_buf value = NX_BUF_INIT(NX_CORE_SECRET_BYTES + 1);
    NX_CLEANUP(nx_buf_done)
    nx_buf proof = NX_BUF_INIT(256);
    nx_err err = nx_core_secret_get(n->secrets, n->ns, wanted->value, &value, reterr);
    if (err == NX_OK && value.n && memchr(value.p, '\0', value.n))
        err = nx_error_set(reterr, NX_EINVAL, "secret %.*s holds a NUL byte, so it cannot be a variable", NX_SLICE_FMT(wanted->value));
    if (err == NX_OK)
        err = nx_core_secret_proof(n->secrets, n->ns, wanted->value, nx_buf_view(&value), &proof, reterr);
    if (err != NX_OK)
        return err;
    *ret_proof = nx_arena_dup(&r->arena, nx_buf_view(&proof));
    *ret_value = nx_arena_dup(&r->arena, nx_buf_view(&value));
    return ret_value->p && ret_proof->p ? NX_OK : NX_ENOMEM;
}

static nx_err fill(nx_core_run *r, nx_kv **ret_env, nx_error *reterr)
{
    const nx_fn_config *f = r->fn->settings;
    nx_run *rec = &r->rec;
    unsigned n = rec->n_env;
    if (n + f->n_secret_env > NX_RUN_ENV_MAX)
        return nx_error_set(reterr, NX_ELIMIT, "more than %d variables, with those of secrets", NX_RUN_ENV_MAX);
    nx_kv *env = nx_arena_calloc(&r->arena, NX_RUN_ENV_MAX, sizeof *env);
    r->secret_values = nx_arena_calloc(&r->arena, f->n_secret_env, sizeof *r->secret_values);
    if (!env || !r->secret_values)
        return NX_ENOMEM;
    memcpy(env, rec->env, n * sizeof *env);
    for (unsigned i = 0; i < f->n_secret_env; i++, n++) {
        nx_slice value = NX_SLICE_NULL, proof = NX_SLICE_NULL;
        nx_err err = fetch(r, &f->secret_env[i], &value, &proof, reterr);
        r->secret_values[r->n_secret_values++] = value;
        if (err != NX_OK)
            return err;
        env[n] = (nx_kv){f->secret_env[i].key, value};
        rec->env[n] = (nx_kv){f->secret_env[i].key, proof};
    }
    rec->n_env = n;
    rec->secret_env = f->secret_env;
    rec->n_secret_env = f->n_secret_env;
    *ret_env = env;
    return NX_OK;
}

static void secrets_job(nx_core_job *job)
{
    nx_core_run *r = (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
    nx_error e = NX_ERROR_INIT;
    nx_kv *env = NULL;
    nx_err err = fill(r, &env, &e);
    if (err == NX_OK) {
        nx_core_run_begin(r, env);
    } else if (nx_err_is_retryable(err)) { /* the log is away, or memory short: not the event's fault, and not the function's */
        nx_core_run_later(r, NX_NS_PER_S);
    } else {
        r->rec.status = NX_RUN_ERROR;
        r->rec.why = NX_WHY_NO_SECRET;
        r->rec.message = nx_arena_dup(&r->arena, nx_slice_cstr(e.msg[0] ? e.msg : nx_err_text(err)));
        r->rec.start_wall_ns = nx_clock_wall_ns();
        nx_core_run_settle(r);
    }
}

void nx_core_run_fetch_secrets(nx_core_run *r)
{
    r->secret_values = NULL;
    r->n_secret_values = 0;
    r->job.run = secrets_job;
    if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK)
        nx_core_run_later(r, 100 * NX_NS_PER_MS);
}

void nx_core_run_forget_secrets(nx_core_run *r)
{
    for (unsigned i = 0; i < r->n_secret_values; i++) nx_wipe((void *)(uintptr_t)r->secret_values[i].p, r->secret_values[i].n);
    r->secret_values = NULL;
    r->n_secret_values = 0;
}

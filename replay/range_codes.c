/* range_codes.c: see range_codes.h. */
#include "range_codes.h"
#include <stdio.h>
#include <stdlib.h>

void nx_range_code_unref(nx_range_code *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    nx_replay_code_done(&c->code);
    nx_replay_code_done(&c->recorded);
    free(c);
}

void nx_range_codes_done(nx_range_codes *codes)
{
    for (unsigned i = 0; i < codes->n; i++)
        nx_range_code_unref(codes->v[i]);
    codes->n = 0;
}

static bool is_code_of(const nx_range_code *c, const nx_run *run, const nx_sha256 *artifact)
{
    return c->memory_bytes == run->limit_memory_bytes && memcmp(&c->artifact, artifact, sizeof *artifact) == 0 && nx_slice_eq_cstr(run->function, c->function) &&
           nx_slice_eq_cstr(run->version, c->version);
}

/* The version that was named when the range was asked for; where its settings are gone by now, its artifact. */
static nx_err get_code(nx_node *n, const nx_range_options *o, const nx_run *run, nx_replay_code *ret, nx_error *reterr)
{
    char hex[NX_SHA256_HEX + 1];
    nx_err err = nx_replay_code_get(n, run, NULL, o->is_other_code ? o->version : NX_SLICE_NULL, ret, reterr);
    if (err != NX_ENOENT || !o->is_other_code)
        return err;
    nx_sha256_hex(&o->artifact, hex);
    return nx_replay_code_get(n, run, NULL, nx_slice_make(hex, NX_SHA256_HEX), ret, reterr);
}

/* NX_OK too where there is none: *ret says so. */
static nx_err load(nx_node *n, const nx_range_options *o, const nx_run *run, nx_range_code *c, nx_error *reterr)
{
    nx_error e = NX_ERROR_INIT;
    nx_err err = get_code(n, o, run, &c->code, &e);
    if (err != NX_OK && nx_err_is_retryable(err))
        return nx_error_set(reterr, err, "%s", e.msg);
    c->is_failed = err != NX_OK;
    snprintf(c->detail, sizeof c->detail, "%s", e.msg);
    snprintf(c->function, sizeof c->function, "%.*s", NX_SLICE_FMT(run->function));
    snprintf(c->version, sizeof c->version, "%.*s", NX_SLICE_FMT(run->version));
    c->memory_bytes = run->limit_memory_bytes;
    if (!c->is_failed && !c->code.is_recorded)
        (void)nx_replay_code_get(n, run, NULL, NX_SLICE_NULL, &c->recorded, NULL);
    if (!c->is_failed && o->effects == NX_EFFECTS_LIVE)
        nx_replay_code_grant(n, run, &c->code);
    return NX_OK;
}

nx_err nx_range_codes_get(nx_range_codes *codes, nx_node *n, const nx_range_options *o, const nx_run *run, nx_range_code **ret, nx_error *reterr)
{
    nx_sha256 artifact = {{0}};
    (void)nx_sha256_parse_hex(run->artifact, &artifact); /* a record that names none is told by nx_replay_code_get() */
    for (unsigned i = 0; i < codes->n; i++)
        if (is_code_of(codes->v[i], run, &artifact)) {
            *ret = codes->v[i];
            atomic_fetch_add(&(*ret)->refs, 1);
            return NX_OK;
        }
    nx_range_code *c = calloc(1, sizeof *c);
    if (!c)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_err err = load(n, o, run, c, reterr);
    if (err != NX_OK) {
        free(c);
        return err;
    }
    c->artifact = artifact;
    atomic_store(&c->refs, 2);
    nx_range_code **place = &codes->v[codes->n < NX_RANGE_CODES_MAX ? codes->n++ : codes->next++ % NX_RANGE_CODES_MAX];
    nx_range_code_unref(*place);
    *ret = *place = c;
    return NX_OK;
}

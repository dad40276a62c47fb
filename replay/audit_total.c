/* audit_total.c: see audit_total.h. */
#include "audit_total.h"
#include "nx/clock.h"
#include "nx/json.h"
#include <stdio.h>

#define KEY_PREFIX "audit."
#define VALUE_BYTES 8192u
#define TRIES 16

const char *nx_audit_result_name(nx_audit_result r)
{
    static const char *const names[NX_AUDIT_RESULTS] = {"identical", "diverged", "failed", "passed_over"};
    return names[r];
}

void nx_audit_total_add(nx_audit_total *to, const nx_audit_total *more)
{
    for (int i = 0; i < NX_AUDIT_RESULTS; i++)
        to->n[i] += more->n[i];
    if (!to->since_wall_ns || (more->since_wall_ns && more->since_wall_ns < to->since_wall_ns))
        to->since_wall_ns = more->since_wall_ns;
    if (!more->last_reason[0])
        return;
    to->last_event = more->last_event;
    memcpy(to->last_reason, more->last_reason, sizeof to->last_reason);
}

static nx_err write_total(const nx_audit_total *t, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    for (int i = 0; i < NX_AUDIT_RESULTS; i++)
        nx_jw_ku64(&w, nx_audit_result_name((nx_audit_result)i), t->n[i]);
    nx_jw_ku64(&w, "since_ns", t->since_wall_ns);
    if (t->last_reason[0]) {
        nx_jw_kstr(&w, "last_event_id", nx_id_slice(&t->last_event));
        nx_jw_kcstr(&w, "last_reason", t->last_reason);
    }
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

/* What can't be read counts as nothing: it is begun anew. */
static void read_total(nx_slice function, nx_slice text, nx_audit_total *ret)
{
    nx_json *j = NULL;
    *ret = (nx_audit_total){.since_wall_ns = 0};
    snprintf(ret->function, sizeof ret->function, "%.*s", NX_SLICE_FMT(function));
    if (nx_json_parse(text, VALUE_BYTES, &j, NULL) != NX_OK)
        return;
    for (int i = 0; i < NX_AUDIT_RESULTS; i++)
        ret->n[i] = nx_json_get_u64(j, nx_audit_result_name((nx_audit_result)i), 0);
    ret->since_wall_ns = nx_json_get_u64(j, "since_ns", 0);
    if (nx_id_parse(nx_json_get_str(j, "last_event_id"), &ret->last_event) == NX_OK)
        snprintf(ret->last_reason, sizeof ret->last_reason, "%.*s", NX_SLICE_FMT(nx_json_get_str(j, "last_reason")));
    nx_json_free(j);
}

nx_err nx_audit_total_store(nx_fab_ns *ns, const nx_audit_total *more, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf value = NX_BUF_INIT(VALUE_BYTES);
    char key[sizeof KEY_PREFIX + NX_FUNCTION_NAME_BYTES];
    nx_err err = NX_ECONFLICT;
    snprintf(key, sizeof key, KEY_PREFIX "%s", more->function);
    for (int i = 0; i < TRIES && (err == NX_ECONFLICT || err == NX_EEXIST); i++) {
        nx_slice before = NX_SLICE_NULL;
        nx_audit_total sum;
        uint64_t revision = 0;
        err = nx_fab_kv_get(ns, key, &a, &before, &revision, reterr);
        if (err != NX_OK && err != NX_ENOENT)
            return err;
        bool is_new = err == NX_ENOENT;
        read_total(nx_slice_cstr(more->function), before, &sum);
        nx_audit_total_add(&sum, more);
        nx_buf_clear(&value);
        err = write_total(&sum, &value);
        if (err == NX_OK)
            err = nx_fab_kv_put(ns, key, nx_buf_view(&value), is_new ? 0 : revision, &revision, reterr);
        nx_arena_reset(&a);
    }
    return err;
}

nx_err nx_audit_totals(nx_fab_ns *ns, unsigned room, nx_arena *a, nx_audit_total **ret, unsigned *ret_n, nx_error *reterr)
{
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_err err = nx_fab_kv_list(ns, KEY_PREFIX, a, &all, &count, reterr);
    nx_audit_total *v = err == NX_OK ? nx_arena_calloc(a, (size_t)count + room + 1, sizeof *v) : NULL;
    if (!v)
        return err != NX_OK ? err : nx_error_set(reterr, NX_ENOMEM, "audit");
    for (unsigned i = 0; i < count; i++)
        read_total(nx_slice_sub(all[i].key, sizeof KEY_PREFIX - 1, all[i].key.n), all[i].value, &v[i]);
    *ret = v;
    *ret_n = count;
    return NX_OK;
}

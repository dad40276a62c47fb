/* admin_failures.c: the admin API's part for what failed: pausing and resuming functions. */
#include "admin.h"

/* ---- pause, resume ------------------------------------------------------------------------------------------------------------------------------ */

void nx_core_admin_pause_keys(nx_node *n, const char *function, nx_jw *w)
{
    nx_core_pause p;
    bool is_paused = nx_core_pause_get(n->pauses, function, &p);
    nx_jw_kbool(w, "paused", is_paused);
    if (!is_paused)
        return;
    nx_jw_kcstr(w, "paused_at", p.at);
    nx_jw_kcstr(w, "pause_reason", p.reason);
    if (p.event_id.s[0])
        nx_jw_kstr(w, "pause_event_id", nx_id_slice(&p.event_id));
}

static bool is_here(nx_node *n, const char *name)
{
    bool is_found = false;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !is_found; s = s->next)
        is_found = strcmp(s->name, name) == 0;
    pthread_rwlock_unlock(&n->snap_mu);
    return is_found;
}

static nx_err function_name(nx_node *n, const nx_gw_req *req, char ret[NX_FUNCTION_NAME_BYTES + 1], nx_error *reterr)
{
    nx_slice name = nx_gw_req_param(req, "name");
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK && (nx_slice_to_cstr(name, ret, NX_FUNCTION_NAME_BYTES + 1) != NX_OK || (!is_here(n, ret) && !nx_core_pause_get(n->pauses, ret, NULL))))
        err = nx_error_set(reterr, NX_ENOENT, "there is no function '%.*s' on this node", NX_SLICE_FMT(name));
    return err;
}

static nx_err answer(nx_node *n, const char *name, bool is_changed, nx_gw_resp *resp)
{
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kcstr(&w, "function", name);
    nx_core_admin_pause_keys(n, name, &w);
    nx_jw_kbool(&w, "changed", is_changed);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

nx_err nx_core_admin_pause(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char name[NX_FUNCTION_NAME_BYTES + 1];
    nx_json *j = NULL;
    bool is_changed = false;
    nx_err err = function_name(n, req, name, reterr);
    if (err == NX_OK && nx_gw_req_body(req).n)
        err = nx_json_parse(nx_gw_req_body(req), 64u << 10, &j, reterr);
    if (err == NX_OK)
        err = nx_core_pause_set(n, name, j ? nx_json_get_str(j, "reason") : NX_SLICE_NULL, NULL, &is_changed, reterr);
    nx_json_free(j);
    return err == NX_OK ? answer(n, name, is_changed, resp) : err;
}

nx_err nx_core_admin_resume(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char name[NX_FUNCTION_NAME_BYTES + 1];
    bool is_changed = false;
    nx_err err = function_name(n, req, name, reterr);
    if (err == NX_OK)
        err = nx_core_pause_end(n, name, &is_changed, reterr);
    return err == NX_OK ? answer(n, name, is_changed, resp) : err;
}

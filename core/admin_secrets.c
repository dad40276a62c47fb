/* admin_secrets.c: secrets of the namespace, in the admin API: set, list, remove. Nothing here ever shows a value. */
#include "admin.h"
#include "secrets.h"

static bool uses(const nx_fn_config *f, nx_slice name)
{
    for (unsigned i = 0; i < f->n_secrets; i++)
        if (nx_slice_eq(f->secrets[i], name))
            return true;
    for (unsigned i = 0; i < f->n_secret_env; i++)
        if (nx_slice_eq(f->secret_env[i].value, name))
            return true;
    return false;
}

/* Names of this node's functions that were granted the secret. */
static void put_functions(nx_node *n, nx_slice name, nx_jw *w)
{
    nx_jw_key(w, "functions");
    nx_jw_array(w);
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        if (fn && uses(fn->settings, name))
            nx_jw_cstr(w, fn->name);
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    nx_jw_array_end(w);
}

nx_err nx_core_admin_secrets(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_core_secret_info *all = NULL;
    unsigned count = 0;
    (void)req;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(256u << 20);
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_core_secrets_list(n->secrets, n->ns, &a, &all, &count, reterr);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    nx_buf *out = nx_gw_resp_body(resp);
    for (unsigned i = 0; err == NX_OK && i < count; i++) {
        nx_jw w = NX_JW_INIT(out);
        nx_jw_object(&w);
        nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
        nx_jw_kstr(&w, "name", all[i].name);
        nx_jw_kcstr(&w, "source", all[i].source);
        nx_jw_kstr(&w, "at", all[i].at);
        nx_jw_kstr(&w, "set_at", all[i].set_at);
        nx_jw_kbool(&w, "available", all[i].is_available);
        put_functions(n, all[i].name, &w);
        nx_jw_object_end(&w);
        err = nx_jw_err(&w);
        if (err == NX_OK)
            err = nx_buf_append_char(out, '\n');
    }
    return err;
}

static nx_err say_done(nx_node *n, nx_slice name, const char *key, bool value, nx_gw_resp *resp)
{
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kstr(&w, "name", name);
    nx_jw_kbool(&w, key, value);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

nx_err nx_core_admin_secret_put(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_slice name = nx_gw_req_param(req, "name");
    bool is_new = false;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_core_secret_put(n->secrets, n->ns, name, nx_gw_req_body(req), &is_new, reterr);
    if (err != NX_OK)
        return err;
    nx_log(NX_LOG_INFO, "secret.set", "secret %.*s was %s", NX_SLICE_FMT(name), is_new ? "set" : "changed");
    nx_gw_resp_status(resp, is_new ? 201 : 200);
    return say_done(n, name, "created", is_new, resp);
}

nx_err nx_core_admin_secret_delete(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_slice name = nx_gw_req_param(req, "name");
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_core_secret_delete(n->secrets, n->ns, name, reterr);
    if (err != NX_OK)
        return err;
    nx_log(NX_LOG_INFO, "secret.removed", "secret %.*s was removed", NX_SLICE_FMT(name));
    return say_done(n, name, "deleted", true, resp);
}

/* admin.h: handlers of the admin API; shared by admin.c and admin_read.c. Each is an nx_gw_handler with the node as self. */
#ifndef NX_CORE_ADMIN_H
#define NX_CORE_ADMIN_H
#include "core_internal.h"

#define NX_CORE_NDJSON NX_GW_NDJSON

/* admin.c */
nx_err nx_core_admin_healthz(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_readyz(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_metrics(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_openapi(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_node(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_functions(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);

/* admin_versions.c */
nx_err nx_core_admin_versions(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_version(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_deploy(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_aliases(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_alias_put(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_alias_delete(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_rollback(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_artifact_put(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_artifact(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);

bool nx_core_admin_is_ready(nx_node *n, nx_error *ret_why);
nx_err nx_core_admin_require_ready(nx_node *n, nx_error *reterr); /* NX_EUNAVAIL with the reason; a full log is ready to be read */

nx_err nx_core_admin_limit(const nx_gw_req *req, unsigned otherwise, unsigned *ret, nx_error *reterr); /* of the query: 1 to 10,000 */
/* The whole record with one more key, "attempts": the history of its run, which nx_run_to_json() does not know. */
nx_err nx_core_admin_run_with_attempts(const nx_run *r, const nx_run *all, unsigned n_all, nx_buf *out);
/* BLOCKING: the module's line tables turn the backtrace's names and offsets into files and lines, where it has them; the text is lent by out. */
void nx_core_admin_symbolise(nx_node *n, nx_run *r, nx_buf *out);
/* "paused", and while it is: "paused_at", "pause_reason", "pause_event_id" */
void nx_core_admin_pause_keys(nx_node *n, const char *function, nx_jw *w);
nx_err nx_core_admin_pause(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_resume(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_dlq(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_dlq_show(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_dlq_redrive(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_dlq_purge(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_invoke(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_events(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_event(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_event_data(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_cron(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr); /* cron.c */
nx_err nx_core_admin_runs(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_run(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_logs(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
/* admin_secrets.c */
nx_err nx_core_admin_secrets(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_secret_put(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_secret_delete(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
#endif

/* admin.h: handlers of the admin API; shared by admin.c and admin_read.c. Each is an nx_gw_handler with the node as self. */
#ifndef NX_CORE_ADMIN_H
#define NX_CORE_ADMIN_H
#include "core_internal.h"

#define NX_CORE_NDJSON "application/x-ndjson"

bool nx_core_admin_is_ready(nx_node *n, nx_error *ret_why);
nx_err nx_core_admin_require_ready(nx_node *n, nx_error *reterr); /* NX_EUNAVAIL with the reason; a full log is ready to be read */

/* "paused", and while it is: "paused_at", "pause_reason", "pause_event_id" */
void nx_core_admin_pause_keys(nx_node *n, const char *function, nx_jw *w);
nx_err nx_core_admin_pause(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_resume(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
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

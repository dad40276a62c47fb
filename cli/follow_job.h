/* follow_job.h: asking a node for a job, and watching it from a terminal. */
#ifndef NX_CLI_FOLLOW_JOB_H
#define NX_CLI_FOLLOW_JOB_H
#include "cli.h"

/* Submits {"kind": kind, "spec": spec}. On success *ret is the job as the node tells it; nx_json_free() ends it. Prints on failure. */
int nx_cli_job_submit(nx_cli_client *node, const char *kind, nx_slice spec, nx_json **ret);
/* Until it is over, with a line of progress on a terminal. Ctrl-C cancels the job. A node that goes away is waited for for half a minute.
 * *ret: how it ended. Prints on failure and returns the exit code; 130 where it was canceled here (*ret is set all the same). */
int nx_cli_job_follow(nx_cli_client *node, const char *id, nx_json **ret);
void nx_cli_job_print_json(const nx_json *job);
#endif

/* cmds.h: the rows of the table of commands; each stands in the file of its command. */
#ifndef NX_CLI_CMDS_H
#define NX_CLI_CMDS_H
#include "cli.h"

extern const nx_cli_command nx_cli_cmd_new, nx_cli_cmd_build, nx_cli_cmd_dev, nx_cli_cmd_serve, nx_cli_cmd_validate, nx_cli_cmd_deploy,
    nx_cli_cmd_invoke, nx_cli_cmd_functions_list, nx_cli_cmd_functions_pause, nx_cli_cmd_functions_resume, nx_cli_cmd_cron_list, nx_cli_cmd_events_list, nx_cli_cmd_events_show,
    nx_cli_cmd_runs_list, nx_cli_cmd_runs_show, nx_cli_cmd_dlq_list, nx_cli_cmd_dlq_show, nx_cli_cmd_dlq_redrive, nx_cli_cmd_dlq_purge, nx_cli_cmd_logs, nx_cli_cmd_replay, nx_cli_cmd_bundle, nx_cli_cmd_test, nx_cli_cmd_audit, nx_cli_cmd_inspect, nx_cli_cmd_doctor,
    nx_cli_cmd_schema, nx_cli_cmd_completion, nx_cli_cmd_man, nx_cli_cmd_reference, nx_cli_cmd_version;
extern const nx_cli_command nx_cli_cmd_versions_list, nx_cli_cmd_versions_show, nx_cli_cmd_versions_diff, nx_cli_cmd_versions_prune;
extern const nx_cli_command nx_cli_cmd_alias_list, nx_cli_cmd_alias_set, nx_cli_cmd_alias_rm, nx_cli_cmd_rollback;
extern const nx_cli_command nx_cli_cmd_bisect, nx_cli_cmd_diff, nx_cli_cmd_run, nx_cli_cmd_sdk;
extern const nx_cli_command nx_cli_cmd_secrets_set, nx_cli_cmd_secrets_list, nx_cli_cmd_secrets_rm;
extern const nx_cli_command nx_cli_cmd_shadow_start, nx_cli_cmd_shadow_status, nx_cli_cmd_shadow_stop, nx_cli_cmd_shadow_promote;
extern const nx_cli_command nx_cli_cmd_jobs_list, nx_cli_cmd_jobs_show, nx_cli_cmd_jobs_cancel;

/* Flags that are settings of a node: of dev and serve. */
#define NX_CLI_SETTING_FLAGS                                                                                                                              \
    {.name = "listen", .value = "HOST:PORT", .help = "Address that events come in at (default 127.0.0.1:8080; port 0: a free one)."},                     \
        {.name = "admin", .value = "HOST:PORT", .help = "Address of the admin API (default 127.0.0.1:8081; port 0: a free one)."},                        \
        {.name = "data-dir", .value = "DIR", .kind = NX_CLI_FILE, .help = "Folder of the private event log and the caches (default .nexus)."},            \
        {.name = "nats-url", .value = "URL", .help = "NATS server or cluster to use in place of a private one."},                                         \
        {.name = "log-format", .value = "FORMAT", .choices = nx_cli_log_formats, .help = "`text`: one readable line each; `json`: one object per line."}, \
        {.name = "log-level", .value = "LEVEL", .choices = nx_cli_log_levels, .help = "Least severe level that is written: debug, info, warn or error."}, \
    {                                                                                                                                                     \
        .name = "set", .value = "KEY=VALUE", .is_many = true,                                                                                             \
        .help = "Any other key of nexus.yaml outside `functions`, such as retention.events.max_age=1d."                                                   \
    }

extern const char *const nx_cli_log_formats[], *const nx_cli_log_levels[];

#define NX_CLI_FILE_FLAG                                                              \
    {                                                                                 \
        .name = "file", .letter = 'f', .value = "FILE", .kind = NX_CLI_FILE,          \
        .help = "The project's file (default: nexus.yaml here or in a folder above)." \
    }
/* cmd_runs.c: a run as `runs show` prints it, and the data of its event. */
void nx_cli_print_dead(const nx_json *r, bool is_first);
#endif

/* table.c: the table of commands, and running one. */
#include "cmds.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

const char nx_cli_version[] = NX_VERSION;

const char *const nx_cli_log_formats[] = {"text", "json", NULL};
const char *const nx_cli_log_levels[] = {"debug", "info", "warn", "error", NULL};

const nx_cli_command *const nx_cli_commands[] = {
    &nx_cli_cmd_new,
    &nx_cli_cmd_dev,
    &nx_cli_cmd_build,
    &nx_cli_cmd_validate,
    &nx_cli_cmd_serve,
    &nx_cli_cmd_deploy,
    &nx_cli_cmd_invoke,
    &nx_cli_cmd_functions_list,
    &nx_cli_cmd_functions_pause,
    &nx_cli_cmd_functions_resume,
    &nx_cli_cmd_versions_list,
    &nx_cli_cmd_versions_show,
    &nx_cli_cmd_versions_diff,
    &nx_cli_cmd_versions_prune,
    &nx_cli_cmd_alias_list,
    &nx_cli_cmd_alias_set,
    &nx_cli_cmd_alias_rm,
    &nx_cli_cmd_rollback,
    &nx_cli_cmd_cron_list,
    &nx_cli_cmd_events_list,
    &nx_cli_cmd_events_show,
    &nx_cli_cmd_runs_list,
    &nx_cli_cmd_runs_show,
    &nx_cli_cmd_dlq_list,
    &nx_cli_cmd_dlq_show,
    &nx_cli_cmd_dlq_redrive,
    &nx_cli_cmd_dlq_purge,
    &nx_cli_cmd_logs,
    &nx_cli_cmd_secrets_set,
    &nx_cli_cmd_secrets_list,
    &nx_cli_cmd_secrets_rm,
    &nx_cli_cmd_replay,
    &nx_cli_cmd_diff,
    &nx_cli_cmd_bisect,
    &nx_cli_cmd_shadow_start,
    &nx_cli_cmd_shadow_status,
    &nx_cli_cmd_shadow_stop,
    &nx_cli_cmd_shadow_promote,
    &nx_cli_cmd_jobs_list,
    &nx_cli_cmd_jobs_show,
    &nx_cli_cmd_jobs_cancel,
    &nx_cli_cmd_bundle,
    &nx_cli_cmd_test,
    &nx_cli_cmd_run,
    &nx_cli_cmd_sdk,
    &nx_cli_cmd_audit,
    &nx_cli_cmd_inspect,
    &nx_cli_cmd_doctor,
    &nx_cli_cmd_schema,
    &nx_cli_cmd_completion,
    &nx_cli_cmd_man,
    &nx_cli_cmd_reference,
    &nx_cli_cmd_version,
    NULL,
};

const nx_cli_group nx_cli_groups[] = {
    {"functions", "Functions of a running node"},
    {"versions", "Deployed versions of a function: module and settings, which never change"},
    {"alias", "Names for versions, such as `live`, which is what runs"},
    {"cron", "Schedules of functions"},
    {"events", "Events in the log"},
    {"runs", "Runs: one function handling one event"},
    {"dlq", "Dead letters: events whose run failed for good"},
    {"secrets", "Values that functions need and nobody else may see"},
    {"jobs", "Jobs: long work on the log, such as a replay of many runs"},
    {"shadow", "A version beside the live one, on the same events"},
    {NULL, NULL},
};

const nx_cli_flag nx_cli_global_flags[] = {
    {.name = "json", .help = "Print JSON for programs: one object per line."},
    {.name = "help", .letter = 'h', .help = "Print the command's help."},
    {0},
};

const nx_cli_flag nx_cli_client_flags[] = {
    {.name = "admin-url", .value = "URL", .help = "The node to talk to (default: NEXUS_ADMIN_URL, else the node of the project in this folder or one above, else http://127.0.0.1:8081)."},
    {0},
};

const nx_cli_exit nx_cli_exits[] = {
    {0, "Done; a replay was identical, every case of a test passed"},
    {1, "The function, the build or a check failed; a replay could not be repeated; `nexus diff` found a difference"},
    {2, "Wrong use, or something given is not valid: flags, nexus.yaml, a module"},
    {3, "`nexus bisect`: versions in question could not be tested; `nexus diff`: one of the two could not be run"},
    {4, "Not found: an event, run, function or file"},
    {5, "Exists already, or conflicts with the current state"},
    {10, "The replay diverged; a case of a test came out otherwise than recorded"},
    {11, "The artifact that a replay needs is gone"},
    {65, "Stored data is damaged"},
    {69, "No node answers, or its event log is not available"},
    {70, "Internal error, or out of memory"},
    {74, "Input or output failed"},
    {75, "Busy or timed out; try again"},
    {77, "Not allowed"},
    {130, "Interrupted before it was done"},
    {0, NULL},
};

static int print_help(const nx_cli *c, const char *group)
{
    if (c->command)
        nx_cli_help(c->command, c->has_colour, stdout);
    else if (group)
        nx_cli_help_group(group, c->has_colour, stdout);
    else
        nx_cli_help_all(c->has_colour, stdout);
    return NX_CLI_OK;
}

static bool wants_colour(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

int nx_cli_main(int argc, char **argv)
{
    nx_cli c = {.program = argc > 0 && strchr(argv[0], '/') ? argv[0] : "nexus"};
    const char *group = NULL;
    int code = NX_CLI_USAGE;
    c.has_colour = wants_colour(STDOUT_FILENO);
    c.err_has_colour = wants_colour(STDERR_FILENO);
    c.err_is_tty = isatty(STDERR_FILENO);
    if (nx_cli_parse(argc, argv, &c, &group, stderr) == NX_OK)
        code = c.wants_help ? print_help(&c, group) : c.command->run(&c);
    nx_cli_done(&c);
    /* What could not be written was not said. */
    bool is_lost = ferror(stdout) != 0; /* of an earlier write, whose errno is gone */
    if ((fflush(stdout) != 0 || is_lost) && code == NX_CLI_OK) {
        fprintf(stderr, "nexus: standard output: %s\n", is_lost ? "not all of it could be written" : strerror(errno));
        code = nx_err_exit_code(NX_EIO);
    }
    return code;
}

/* cmd_cron.c: nexus cron list. */
#include "cmds.h"

static void row(nx_cli_table *t, const nx_json *s)
{
    const nx_json *next = nx_json_get(s, "next");
    nx_cli_table_cell(t, nx_json_get_str(s, "function"));
    nx_cli_table_cell(t, nx_json_get_str(s, "schedule"));
    nx_cli_table_cell(t, nx_json_get_str(s, "timezone"));
    nx_cli_table_cell(t, nx_json_str(nx_json_at(next, 0)));
    nx_cli_table_cell(t, nx_json_str(nx_json_at(next, 1)));
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"FUNCTION", "SCHEDULE", "TIMEZONE", "NEXT", "THEN"};
    return nx_cli_list(c, "/api/v1/cron", "no schedules", NX_ARRAY_LEN(heads), heads, row);
}

static const nx_cli_example list_examples[] = {
    {"nexus cron list", "every schedule, and when it ticks next (in UTC)"},
    {"nexus cron list --json", "the same for a program, with the next three ticks"},
    {0},
};

const nx_cli_command nx_cli_cmd_cron_list = {
    .verb = "cron list",
    .summary = "List schedules and their next ticks",
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

/* replay_range.h: nexus replay of a range of runs. */
#ifndef NX_CLI_REPLAY_RANGE_H
#define NX_CLI_REPLAY_RANGE_H
#include "cli.h"

int nx_cli_replay_range(nx_cli *c);
/* The policy that --effects or --live names; NULL: none is named. */
const char *nx_cli_replay_effects(const nx_cli *c);
/* The "results" of a job that repeats runs, for people: counts by function, the first ones that differ. */
void nx_cli_print_range(const nx_cli *c, const nx_json *job);
/* What a job's results come to: 0 all identical, 1 failed ones, 10 diverged ones, 4 no runs. */
int nx_cli_range_exit(const nx_json *job);
#endif

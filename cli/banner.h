/* banner.h: the words of `nexus dev` when it is ready. */
#ifndef NX_CLI_BANNER_H
#define NX_CLI_BANNER_H
#include "cli.h"

void nx_cli_banner(const nx_cli *c, const nx_config *cfg, const char *url, const char *admin_url, double ready_ms);
/* {"project","listen_url","admin_url","pid","functions":[…]} on one line. */
int nx_cli_banner_json(const nx_cli *c, const nx_config *cfg, const char *url, const char *admin_url);
#endif

/* grants.h: what a module's host calls need in nexus.yaml, told before they are denied. */
#ifndef NX_CLI_GRANTS_H
#define NX_CLI_GRANTS_H
#include "cli.h"

/* One note on stderr for each grant that the imports of `inspected` (nx_rt_inspect()) need and the settings do not give. No error: a call that
 * is never made needs no grant. */
void nx_cli_note_grants(const nx_json *inspected, const nx_fn_config *f);
/* The same from a module. What can't be read is left to whoever takes it. */
void nx_cli_note_module_grants(nx_slice module, const nx_fn_config *f);
#endif

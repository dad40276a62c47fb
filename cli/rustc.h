/* rustc.h: standing in for rustc.
 * Why: Rust keeps what a function wrote to stdout until a newline or the end of main(). A library has no main(), so the output of the
 *      plainest function would stay in that buffer. Where a build makes a library for WASI, one exported function is added that the
 *      node calls when handle_event has returned (runtime/module.h), and sources stay as people write them. */
#ifndef NX_CLI_RUSTC_H
#define NX_CLI_RUSTC_H
#include "nx/buf.h"

#define NX_CLI_RUSTC_REAL "NEXUS_REAL_RUSTC" /* environment: the compiler itself */
#define NX_CLI_RUSTC_EXPORT "__nexus_flush"

/* Whether this process was called as rustc by a build of ours. */
bool nx_cli_rustc_is_asked(const char *argv0);
int nx_cli_rustc_main(int argc, char **argv);

/* Index in argv of the root source of a WASI library that gets the function; 0: the call is passed on as it is.
 * is_cargo_dependency: cargo compiles a package that only others use, which must not bring a second function of that name. */
int nx_cli_rustc_root(int argc, char *const *argv, bool is_cargo_dependency);
/* ---- rustc_lines.c: what it compiles for release has names of functions only; lines of the crate's own sources go in as a source map. */

#define NX_CLI_RUSTC_LINES_ARGS 4
/* Whether the call may be changed so: it asks for no debug information of its own, and does not want names gone. */
bool nx_cli_rustc_has_lines(int argc, char *const *argv);
int nx_cli_rustc_ask_for_lines(char **args); /* appends NX_CLI_RUSTC_LINES_ARGS, and returns that */
/* In the module that was made; what goes wrong is said, and costs the lines alone. */
void nx_cli_rustc_take_lines(int argc, char *const *argv);
const char *nx_cli_rustc_flag(int argc, char *const *argv, const char *name); /* value of "--name VALUE" or "--name=VALUE"; NULL */

/* The source with the function behind it; NX_ENOTSUP where it must stay as it is (no_std, or it has one already). */
nx_err nx_cli_rustc_extend(nx_slice source, bool is_edition_2024, nx_buf *out);
#endif

/* sdk_files.h: the SDKs' files (sdk/), which the build puts into the program. A NUL stands behind each. */
#ifndef NX_CLI_SDK_FILES_H
#define NX_CLI_SDK_FILES_H
#include "nx/slice.h"

extern const nx_slice nx_cli_sdk_rust, nx_cli_sdk_c, nx_cli_sdk_assemblyscript, nx_cli_sdk_zig, nx_cli_sdk_javascript;
/* Included before every C file of a function. */
extern const nx_slice nx_cli_sdk_c_flush;
/* What the compiler of AssemblyScript needs in a project: its settings, its packages, and the lock file with their hashes. */
extern const nx_slice nx_cli_sdk_asc_config, nx_cli_sdk_asc_package, nx_cli_sdk_asc_lock;
/* What makes a module of JavaScript: a script for Node.js, what joins the sources with the engine, the engine's package and its lock file. */
extern const nx_slice nx_cli_sdk_js_build, nx_cli_sdk_js_glue, nx_cli_sdk_js_package, nx_cli_sdk_js_lock;
#endif

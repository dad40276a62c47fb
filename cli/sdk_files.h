/* sdk_files.h: the SDKs' files and those of new projects (sdk/), which the build puts into the program. A NUL stands behind each. */
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
/* Of new projects. */
extern const nx_slice nx_cli_sdk_test_script, nx_cli_sdk_readme, nx_cli_sdk_gitignore;
extern const nx_slice nx_cli_sdk_rust_yaml, nx_cli_sdk_rust_cargo, nx_cli_sdk_rust_config, nx_cli_sdk_rust_welcome;
extern const nx_slice nx_cli_sdk_c_yaml, nx_cli_sdk_c_welcome;
extern const nx_slice nx_cli_sdk_asc_yaml, nx_cli_sdk_asc_welcome, nx_cli_sdk_asc_tsconfig;
extern const nx_slice nx_cli_sdk_zig_yaml, nx_cli_sdk_zig_welcome;
extern const nx_slice nx_cli_sdk_js_yaml, nx_cli_sdk_js_welcome;
#endif

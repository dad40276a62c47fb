/* tools.h: compilers that make WebAssembly, building functions with them, and what is out of date. */
#ifndef NX_CLI_TOOLS_H
#define NX_CLI_TOOLS_H
#include "cli.h"

/* ---- compilers (tools.c) ---------------------------------------------------------------------------------------- */

#define NX_CLI_ZIG_VERSION "0.17.1" /* new projects and the SDK are written for it: Zig's library changes with every release */

typedef struct nx_cli_tools {
    bool has_rust, has_c;
    bool has_rust_linker;                  /* rustc's own linker for WebAssembly; Debian's rustc comes without */
    char zig[1024];                        /* "": there is none */
    char rust_target[32];                  /* "wasm32-wasip1" or "wasm32-wasi" */
    char rustc[1024], cargo[1024];         /* cargo: "" where none stands beside that rustc */
    char path_first[1024];                 /* folder that has to come first in PATH, so that plain `cargo` is the right one; "" */
    char folder[1024];                     /* of links by which this program stands in for rustc (rustc.h); "": it does not */
    char wasi_cc[1024], wasi_cflags[1024]; /* compiler and its target; flags */
    char include[1024];                    /* folder that $WASI_CFLAGS could not name: for CPATH; "" */
    char rust_advice[512], c_advice[512];  /* the one command that installs what is missing */
    char zig_advice[512];
    char npm_first[64]; /* what brings npm, and " && "; "": it is there */
} nx_cli_tools;

/* Where compilers are looked for; a test gives its own. */
typedef struct nx_cli_tools_places {
    const char *path;             /* PATH */
    const char *const *fallbacks; /* further rustc programs, NULL-terminated */
    const char *wasi_sdk;         /* WASI_SDK_PATH; may be NULL */
    const char *const *sysroots;  /* folders with include/wasm32-wasi and lib/wasm32-wasi, NULL-terminated */
} nx_cli_tools_places;

void nx_cli_tools_find(nx_cli_tools *ret); /* in the usual places; runs rustc, tens of milliseconds */
void nx_cli_tools_find_in(const nx_cli_tools_places *places, nx_cli_tools *ret);
/* Makes FOLDER/tools, in a project's data folder, with what adds one function to a module, the flush of stdout: links by which builds get rustc with it (rustc.h), and a header
 * that $WASI_CFLAGS includes. Where it cannot be made, builds do without. */
void nx_cli_tools_link(nx_cli_tools *t, nx_slice folder);
/* NEXUS_WASI_TARGET=…, RUSTC=…, CARGO=…, WASI_CC=…, WASI_CFLAGS=…, CPATH=…, ZIG=…, PATH=…: calls put() for each that there is. */
void nx_cli_tools_each_variable(const nx_cli_tools *t, void (*put)(void *self, const char *name, const char *value), void *self);
/* What a build command (run in workdir) needs that is not there, as a sentence with the command that installs it; "" when nothing is missing. */
void nx_cli_tools_missing(const nx_cli_tools *t, nx_slice command, nx_slice workdir, char *ret, size_t ret_bytes);
/* After a build that failed: what it may have failed for, in the same form; "" where nothing is suspected. A project may have set up
 * something else for it, so no build is refused for this. */
void nx_cli_tools_suspected(const nx_cli_tools *t, nx_slice command, char *ret, size_t ret_bytes);

/* ---- source maps (source_map.c) --------------------------------------------------------------------------------- */

/* Where the module names a source map that lies beside it, puts that into the module. Nothing to do is NX_OK. */
nx_err nx_cli_source_map_take(const char *code_path, nx_error *reterr);

/* ---- sources (sources.c) ---------------------------------------------------------------------------------------- */

typedef struct nx_cli_sources {
    uint64_t newest_ns;   /* latest change of any file; 0: none */
    uint64_t fingerprint; /* of paths, sizes and times: differs when anything was saved, added or removed */
    unsigned n_files;
    bool is_cut; /* more than NX_CLI_SOURCES_MAX: build.watch should say less */
} nx_cli_sources;

#define NX_CLI_SOURCES_MAX 20000
#define NX_CLI_SOURCE_DEPTH_MAX 16

/* What a function is built from: build.watch, or everything in workdir but outputs, hidden files and documentation. */
void nx_cli_sources_scan(const nx_config *cfg, const nx_fn_config *f, nx_cli_sources *ret);
/* Calls put() for every folder that holds a source, to watch it; and for the folder of each watched file. */
void nx_cli_sources_folders(const nx_config *cfg, const nx_fn_config *f, void (*put)(void *self, const char *folder), void *self);
/* Time, size and identity of one file in one number; 0: not there. Another number: another file or content. */
uint64_t nx_cli_file_fingerprint(const char *path);
/* There is no artifact, or a source is newer. Functions without a build command are never out of date. */
bool nx_cli_is_out_of_date(const nx_config *cfg, const nx_fn_config *f);

/* ---- builds (build.c) ------------------------------------------------------------------------------------------- */

typedef struct nx_cli_build nx_cli_build; /* one running command */
struct uv_loop_s;

typedef struct nx_cli_build_result {
    const char *function; /* lent during the call */
    bool is_ok;
    int exit_code, signal; /* of the shell; signal 0: none */
    uint64_t duration_ns;
    char why[768]; /* where it could not even start, or left no module; else "" */
} nx_cli_build_result;

/* Runs build.command with sh in workdir, its output line by line on stderr (as_log: in the log) behind "name | ". done() is called on the loop, after
 * which the build is gone. Where it cannot start, done() is not called and the reason is in reterr. Settings are copied. */
nx_err nx_cli_build_start(struct uv_loop_s *loop, const nx_cli *c, const nx_cli_tools *tools, const nx_config *cfg, const nx_fn_config *f,
                          bool as_log, void (*done)(void *self, const nx_cli_build_result *r), void *self, nx_cli_build **ret, nx_error *reterr);
/* Ends the command and all it started, the second time at once; done() still comes. */
void nx_cli_build_cancel(nx_cli_build *b);
/* Prints "built user-welcome in 1.2s" or what failed. */
void nx_cli_build_print(const nx_cli *c, const nx_cli_build_result *r);
/* BLOCKING: builds the named functions (n_names 0: all) one after the other; those that are up to date only with `force`.
 * Returns the exit code; *ret_built counts. A signal ends the build that runs, and no other is begun (NX_ECANCELED's exit code). */
int nx_cli_build_all(const nx_cli *c, const nx_config *cfg, const char *const *names, unsigned n_names, bool force, unsigned *ret_built);
#endif

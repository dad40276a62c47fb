/* rustc_lines.c: lines of the source for backtraces of release builds; see rustc.h. The compiler writes DWARF, most of which is the standard
 * library's, and the lines of the crate's own sources are taken from it. */
#include "cli.h"
#include "nx/rt_source_map.h"
#include "rustc.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE_BYTES_MAX (1u << 30)

/* The last "-C NAME=VALUE" or "-CNAME=VALUE"; NULL: there is none. */
static const char *codegen_value(int argc, char *const *argv, const char *name)
{
    const char *found = NULL;
    size_t n = strlen(name);
    for (int i = 1; i < argc && argv[i]; i++) {
        const char *option = strncmp(argv[i], "-C", 2) != 0 ? NULL : argv[i][2] ? argv[i] + 2
                                                                                : argv[i + 1];
        if (option && strncmp(option, name, n) == 0 && option[n] == '=')
            found = option + n + 1;
    }
    return found;
}

static bool has_word(int argc, char *const *argv, const char *word)
{
    for (int i = 1; i < argc && argv[i]; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

bool nx_cli_rustc_has_lines(int argc, char *const *argv)
{
    const char *debug = codegen_value(argc, argv, "debuginfo"), *strip = codegen_value(argc, argv, "strip"), *emit = nx_cli_rustc_flag(argc, argv, "--emit");
    bool asks_for_debug = has_word(argc, argv, "-g") || (debug && strcmp(debug, "0") != 0 && strcmp(debug, "none") != 0);
    bool wants_no_names = strip && strcmp(strip, "symbols") == 0;
    return !asks_for_debug && !wants_no_names && (!emit || strstr(emit, "link"));
}

int nx_cli_rustc_ask_for_lines(char **args)
{
    static char codegen[] = "-C", debug[] = "debuginfo=1", strip[] = "strip=none";
    args[0] = args[2] = codegen;
    args[1] = debug;
    args[3] = strip;
    return NX_CLI_RUSTC_LINES_ARGS;
}

static bool output_path(int argc, char *const *argv, char *ret, size_t ret_bytes)
{
    const char *dir = nx_cli_rustc_flag(argc, argv, "--out-dir"), *name = nx_cli_rustc_flag(argc, argv, "--crate-name"), *extra = codegen_value(argc, argv, "extra-filename"), *out = NULL;
    for (int i = 1; i < argc && argv[i]; i++)
        if (strcmp(argv[i], "-o") == 0)
            out = argv[i + 1];
    int n = out ? snprintf(ret, ret_bytes, "%s", out) : snprintf(ret, ret_bytes, "%s/%s%s.wasm", dir ? dir : ".", name ? name : "", extra ? extra : "");
    return n > 0 && n < (int)ret_bytes;
}

void nx_cli_rustc_take_lines(int argc, char *const *argv)
{
    char path[NX_CLI_PATH_BYTES], root[NX_CLI_PATH_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES_MAX);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(MODULE_BYTES_MAX);
    nx_error why = NX_ERROR_INIT;
    if (!output_path(argc, argv, path, sizeof path) || !getcwd(root, sizeof root) || access(path, F_OK) != 0)
        return; /* made elsewhere: it is as it was asked for, with all its DWARF */
    nx_err e = nx_cli_read_file(path, &module, &why);
    if (e == NX_OK)
        e = nx_rt_source_map_from_dwarf(nx_buf_view(&module), nx_slice_cstr(root), &out, &why);
    if (e != NX_OK)
        fprintf(stderr, "nexus: %s: backtraces will name no lines of the source: %s\n", path, why.msg);
    if (e != NX_EMODULE && out.n)
        e = nx_cli_write_file(path, nx_buf_view(&out), 0777, &why);
    else
        return;
    if (e != NX_OK)
        fprintf(stderr, "nexus: %s\n", why.msg);
}

/* Which compilers are found, with programs that play them. */
#include "cli_test.h"
#include "rustc.h"
#include "tools.h"
#include <unistd.h>

static char root[2048];
static const char *const none[] = {NULL};

static int setup(void **state)
{
    int rc = cli_test_folder_new(state);
    snprintf(root, sizeof root, "%s", (char *)*state);
    return rc;
}

/* A rustc whose sysroot has the standard library of `target` (NULL: only a folder for it, as rustc names one for every target). */
static void make_rustc(const char *bin, const char *sysroot, const char *target, bool with_cargo)
{
    char script[4096], path[512];
    snprintf(script, sizeof script, "#!/bin/sh\n[ \"$2\" = sysroot ] && echo %s/%s\n", root, sysroot);
    snprintf(path, sizeof path, "%s/rustc", bin);
    cli_test_write(root, path, script);
    snprintf(path, sizeof path, "%s/lib/rustlib/%s/lib/%s", sysroot, target ? target : "wasm32-wasip1", target ? "libstd-1.rlib" : "other");
    cli_test_write(root, path, "");
    if (with_cargo) {
        snprintf(path, sizeof path, "%s/cargo", bin);
        cli_test_write(root, path, "#!/bin/sh\n");
    }
}

static void find(const char *path, const char *const *fallbacks, nx_cli_tools *t)
{
    nx_cli_tools_find_in(&(nx_cli_tools_places){path, fallbacks, NULL, none}, t);
}

static void test_tools_first_toolchain_with_the_library_is_taken(void **state)
{
    (void)state;
    char path[4096], expected[4096];
    nx_cli_tools t;
    make_rustc("new", "newroot", NULL, true);
    make_rustc("old", "oldroot", "wasm32-wasi", true);
    snprintf(path, sizeof path, "%s/new:%s/old", root, root);
    find(path, none, &t);
    assert_true(t.has_rust);
    assert_string_equal(t.rust_target, "wasm32-wasi");
    snprintf(expected, sizeof expected, "%s/old/rustc", root);
    assert_string_equal(t.rustc, expected);
    snprintf(expected, sizeof expected, "%s/old/cargo", root);
    assert_string_equal(t.cargo, expected);
    /* The plain names have to mean this toolchain. */
    snprintf(expected, sizeof expected, "%s/old", root);
    assert_string_equal(t.path_first, expected);
}

static void test_tools_newer_target_is_preferred_and_path_stays(void **state)
{
    (void)state;
    char path[4096];
    nx_cli_tools t;
    make_rustc("bin", "sys", "wasm32-wasi", true);
    make_rustc("bin", "sys", "wasm32-wasip1", true);
    snprintf(path, sizeof path, "%s/bin", root);
    find(path, none, &t);
    assert_string_equal(t.rust_target, "wasm32-wasip1");
    assert_string_equal(t.path_first, "");
}

static void test_tools_fallback_is_used_when_path_has_none(void **state)
{
    (void)state;
    char path[4096], fallback[4096];
    nx_cli_tools t;
    make_rustc("new", "newroot", NULL, true);
    make_rustc("sys", "sysroot", "wasm32-wasi", false);
    snprintf(path, sizeof path, "%s/new", root);
    snprintf(fallback, sizeof fallback, "%s/sys/rustc", root);
    find(path, (const char *[]){fallback, NULL}, &t);
    assert_string_equal(t.rustc, fallback);
    /* The cargo of another release would not do. */
    assert_string_equal(t.cargo, "");
    char missing[768];
    nx_cli_tools_missing(&t, NX_SLICE("cargo build"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "no cargo stands beside it"));
    nx_cli_tools_missing(&t, NX_SLICE("$RUSTC --target $NEXUS_WASI_TARGET"), nx_slice_cstr(root), missing, sizeof missing);
    assert_string_equal(missing, "");
}

static void test_tools_nothing_found_gives_the_one_command(void **state)
{
    (void)state;
    nx_cli_tools t;
    char path[4096], missing[768];
    snprintf(path, sizeof path, "%s/empty", root);
    find(path, none, &t);
    assert_false(t.has_rust);
    assert_false(t.has_c);
    nx_cli_tools_missing(&t, NX_SLICE("cargo build --target x"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "rustup target add wasm32-wasip1"));
    nx_cli_tools_missing(&t, NX_SLICE("$WASI_CC -o a.wasm a.c"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "WASI_SDK_PATH"));
    nx_cli_tools_missing(&t, NX_SLICE("\"$ZIG\" build-exe a.zig"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, ":  pipx install ziglang==" NX_CLI_ZIG_VERSION));
    nx_cli_tools_missing(&t, NX_SLICE("make module"), nx_slice_cstr(root), missing, sizeof missing);
    assert_string_equal(missing, "");
    cli_test_write(root, "package-lock.json", "{}");
    nx_cli_tools_missing(&t, NX_SLICE("node_modules/.bin/asc"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, ":  npm ci"));
    nx_cli_tools_missing(&t, NX_SLICE("node build.js"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, ":  npm ci"));
    cli_test_write(root, "deb/apt-get", "#!/bin/sh\n");
    snprintf(path, sizeof path, "%s/deb", root);
    find(path, none, &t);
    nx_cli_tools_missing(&t, NX_SLICE("cargo build"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "apt-get install -y cargo rustc libstd-rust-dev-wasm32 lld"));
    nx_cli_tools_missing(&t, NX_SLICE("node_modules/.bin/asc"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "apt-get install -y npm && npm ci"));
    nx_cli_tools_missing(&t, NX_SLICE("\"$ZIG\" build-exe a.zig"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "apt-get install -y pipx && pipx install ziglang"));
    cli_test_write(root, "deb/python-zig", "#!/bin/sh\n");
    find(path, none, &t);
    nx_cli_tools_missing(&t, NX_SLICE("\"$ZIG\" build-exe a.zig"), nx_slice_cstr(root), missing, sizeof missing);
    assert_string_equal(missing, "");
    cli_test_write(root, "node_modules/.bin/asc", "#!/bin/sh\n");
    nx_cli_tools_missing(&t, NX_SLICE("node_modules/.bin/asc"), nx_slice_cstr(root), missing, sizeof missing);
    assert_string_equal(missing, "");
    cli_test_write(root, "deb/rustup", "#!/bin/sh\n");
    find(path, none, &t);
    nx_cli_tools_missing(&t, NX_SLICE("cargo build"), nx_slice_cstr(root), missing, sizeof missing);
    assert_non_null(strstr(missing, "rustup target add wasm32-wasip1"));
}

static void test_tools_rust_without_a_linker_is_suspected_not_refused(void **state)
{
    (void)state;
    char path[4096], said[1536];
    nx_cli_tools t;
    make_rustc("bin", "sys", "wasm32-wasi", true);
    snprintf(path, sizeof path, "%s/bin", root);
    find(path, none, &t);
    assert_true(t.has_rust);
    assert_false(t.has_rust_linker);
    nx_cli_tools_missing(&t, NX_SLICE("cargo build"), nx_slice_cstr(root), said, sizeof said);
    assert_string_equal(said, "");
    nx_cli_tools_suspected(&t, NX_SLICE("cargo build"), said, sizeof said);
    assert_non_null(strstr(said, "rust-lld"));
    assert_non_null(strstr(said, "apt-get install -y lld"));
    nx_cli_tools_suspected(&t, NX_SLICE("$WASI_CC -o a.wasm a.c"), said, sizeof said);
    assert_string_equal(said, "");
    /* A link into nowhere, as Debian's rustc brings it, is none. */
    snprintf(path, sizeof path, "%s/bin/rust-lld", root);
    assert_int_equal(symlink("lld-14", path), 0);
    snprintf(path, sizeof path, "%s/bin", root);
    find(path, none, &t);
    assert_false(t.has_rust_linker);
    cli_test_write(root, "bin/lld-14", "#!/bin/sh\n");
    find(path, none, &t);
    assert_true(t.has_rust_linker);
    nx_cli_tools_suspected(&t, NX_SLICE("cargo build"), said, sizeof said);
    assert_string_equal(said, "");
}

static void test_tools_rustup_brings_its_own_linker(void **state)
{
    (void)state;
    char path[4096];
    nx_cli_tools t;
    make_rustc("bin", "sys", "wasm32-wasip1", true);
    cli_test_write(root, "sys/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld", "#!/bin/sh\n");
    snprintf(path, sizeof path, "%s/bin", root);
    find(path, none, &t);
    assert_true(t.has_rust_linker);
}

static void test_tools_rustc_that_fails_is_passed_over(void **state)
{
    (void)state;
    char path[4096], expected[4096];
    nx_cli_tools t;
    cli_test_write(root, "broken/rustc", "#!/bin/sh\necho no default toolchain >&2\nexit 1\n");
    make_rustc("good", "sys", "wasm32-wasip1", true);
    snprintf(path, sizeof path, "%s/broken:%s/good", root, root);
    find(path, none, &t);
    snprintf(expected, sizeof expected, "%s/good/rustc", root);
    assert_string_equal(t.rustc, expected);
}

static void test_tools_c_is_clang_with_a_library(void **state)
{
    (void)state;
    char path[4096], sysroot[4096], sdk[4096];
    nx_cli_tools t;
    cli_test_write(root, "bin/clang", "#!/bin/sh\n");
    cli_test_write(root, "sys/lib/wasm32-wasi/libc.a", "");
    snprintf(path, sizeof path, "%s/bin", root);
    snprintf(sysroot, sizeof sysroot, "%s/sys", root);
    nx_cli_tools_find_in(&(nx_cli_tools_places){path, none, NULL, (const char *[]){sysroot, NULL}}, &t);
    assert_true(t.has_c);
    assert_non_null(strstr(t.wasi_cc, "/bin/clang --target=wasm32-wasi"));
    assert_non_null(strstr(t.wasi_cflags, sysroot));
    cli_test_write(root, "sdk/bin/clang", "#!/bin/sh\n");
    snprintf(sdk, sizeof sdk, "%s/sdk", root);
    nx_cli_tools_find_in(&(nx_cli_tools_places){path, none, sdk, none}, &t);
    assert_true(t.has_c);
    assert_non_null(strstr(t.wasi_cc, "/sdk/bin/clang"));
}

/* ---- standing in for rustc -------------------------------------------------------------------------------------- */

#define ARGC(a) ((int)NX_ARRAY_LEN(a) - 1)

static void test_rustc_root_of_a_wasi_library_only(void **state)
{
    (void)state;
    char *direct[] = {"rustc", "--target", "wasm32-wasi", "--crate-type", "cdylib", "-O", "src/lib.rs", "-o", "out.wasm", NULL};
    char *cargo[] = {"rustc", "--crate-name", "welcome", "--edition=2021", "src/lib.rs", "--error-format=json", "--crate-type", "cdylib",
                     "--target", "wasm32-wasip1", NULL};
    char *native[] = {"rustc", "--crate-type", "cdylib", "src/lib.rs", NULL};
    char *rlib[] = {"rustc", "--target", "wasm32-wasi", "--crate-type", "rlib", "src/lib.rs", NULL};
    char *query[] = {"rustc", "-vV", NULL};
    char *odd[] = {"rustc", "--target=wasm32-wasi", "--crate-type=cdylib", "-o", "strange.rs", "main.rs", NULL};
    assert_int_equal(nx_cli_rustc_root(ARGC(direct), direct, false), 6);
    assert_int_equal(nx_cli_rustc_root(ARGC(cargo), cargo, false), 4);
    assert_int_equal(nx_cli_rustc_root(ARGC(cargo), cargo, true), 0);
    assert_int_equal(nx_cli_rustc_root(ARGC(native), native, false), 0);
    assert_int_equal(nx_cli_rustc_root(ARGC(rlib), rlib, false), 0);
    assert_int_equal(nx_cli_rustc_root(ARGC(query), query, false), 0);
    assert_int_equal(nx_cli_rustc_root(ARGC(odd), odd, false), 5);
}

static void test_rustc_lines_only_where_nothing_else_is_asked_for(void **state)
{
    (void)state;
    char *plain[] = {"rustc", "-O", "src/lib.rs", NULL};
    char *cargo[] = {"rustc", "--emit=dep-info,link", "-C", "opt-level=3", "-C", "strip=debuginfo", "src/lib.rs", NULL};
    char *zero[] = {"rustc", "-C", "debuginfo=0", "src/lib.rs", NULL};
    char *debug[] = {"rustc", "-C", "debuginfo=0", "-Cdebuginfo=2", "src/lib.rs", NULL};
    char *g[] = {"rustc", "-g", "src/lib.rs", NULL};
    char *nameless[] = {"rustc", "-C", "strip=symbols", "src/lib.rs", NULL};
    char *check[] = {"rustc", "--emit", "metadata", "src/lib.rs", NULL};
    assert_true(nx_cli_rustc_has_lines(ARGC(plain), plain));
    assert_true(nx_cli_rustc_has_lines(ARGC(cargo), cargo));
    assert_true(nx_cli_rustc_has_lines(ARGC(zero), zero));
    assert_false(nx_cli_rustc_has_lines(ARGC(debug), debug));
    assert_false(nx_cli_rustc_has_lines(ARGC(g), g));
    assert_false(nx_cli_rustc_has_lines(ARGC(nameless), nameless));
    assert_false(nx_cli_rustc_has_lines(ARGC(check), check));
}

static void test_rustc_source_gets_one_function(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(65536);
    const char *source = "pub fn a() {}";
    assert_int_equal(nx_cli_rustc_extend(nx_slice_cstr(source), false, &out), NX_OK);
    assert_memory_equal(out.p, source, strlen(source));
    assert_non_null(strstr(nx_buf_cstr(&out), "#[no_mangle]\npub extern \"C\" fn __nexus_flush()"));
    nx_buf_clear(&out);
    assert_int_equal(nx_cli_rustc_extend(nx_slice_cstr(source), true, &out), NX_OK);
    assert_non_null(strstr(nx_buf_cstr(&out), "#[unsafe(no_mangle)]"));
    nx_buf_clear(&out);
    assert_int_equal(nx_cli_rustc_extend(NX_SLICE("#![no_std]\n"), false, &out), NX_ENOTSUP);
    assert_int_equal(nx_cli_rustc_extend(NX_SLICE("fn __nexus_flush() {}"), false, &out), NX_ENOTSUP);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, cli_test_folder_free)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_tools_first_toolchain_with_the_library_is_taken),
        IN_FOLDER(test_tools_newer_target_is_preferred_and_path_stays),
        IN_FOLDER(test_tools_fallback_is_used_when_path_has_none),
        IN_FOLDER(test_tools_nothing_found_gives_the_one_command),
        IN_FOLDER(test_tools_rust_without_a_linker_is_suspected_not_refused),
        IN_FOLDER(test_tools_rustup_brings_its_own_linker),
        IN_FOLDER(test_tools_rustc_that_fails_is_passed_over),
        IN_FOLDER(test_tools_c_is_clang_with_a_library),
        cmocka_unit_test(test_rustc_root_of_a_wasi_library_only),
        cmocka_unit_test(test_rustc_lines_only_where_nothing_else_is_asked_for),
        cmocka_unit_test(test_rustc_source_gets_one_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

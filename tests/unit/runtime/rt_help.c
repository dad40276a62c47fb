/* rt_help.c: see rt_help.h. */
#include "rt_help.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wasmtime.h>

nx_rt *rt;
char rt_help_dir[64];

/* The engine catches signals of guests; cmocka puts its own handlers in their place around every test. */
static const int signals[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE};
static struct sigaction engine_actions[NX_ARRAY_LEN(signals)];

static void save_engine_signals(void)
{
    for (size_t i = 0; i < NX_ARRAY_LEN(signals); i++) (void)sigaction(signals[i], NULL, &engine_actions[i]);
}

void rt_help_engine_signals(void)
{
    for (size_t i = 0; i < NX_ARRAY_LEN(signals); i++) (void)sigaction(signals[i], &engine_actions[i], NULL);
}

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        if (e->d_name[0] != '.') (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
    (void)rmdir(dir);
}

int rt_help_setup(void **state)
{
    (void)state;
    (void)snprintf(rt_help_dir, sizeof rt_help_dir, "/tmp/nx-test-rt-XXXXXX");
    assert_non_null(mkdtemp(rt_help_dir));
    nx_error e = NX_ERROR_INIT;
    nx_rt_options o = {.cache_dir = rt_help_dir, .slots = 2, .pool_slots = 48};
    if (nx_rt_new(&o, &rt, &e)) fail_msg("nx_rt_new: %s", e.msg);
    save_engine_signals();
    return 0;
}

int rt_help_teardown(void **state)
{
    (void)state;
    nx_rt_free(rt);
    remove_folder(rt_help_dir);
    (void)rt_help_wat("");
    (void)rt_help_rust(NULL, NULL);
    return 0;
}

nx_slice rt_help_wat(const char *wat)
{
    static wasm_byte_vec_t binary;
    if (binary.data) wasm_byte_vec_delete(&binary);
    binary = (wasm_byte_vec_t){0, NULL};
    if (!*wat) return NX_SLICE_NULL;
    wasmtime_error_t *error = wasmtime_wat2wasm(wat, strlen(wat), &binary);
    if (error) {
        wasm_name_t text;
        wasmtime_error_message(error, &text);
        fail_msg("%.*s", (int)text.size, text.data);
    }
    return nx_slice_make(binary.data, binary.size);
}

/* The exit code; output of the program goes to the test's stderr. */
static int run_program(const char *const argv[])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(2, 1);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static nx_slice read_whole(const char *path)
{
    static char *bytes;
    free(bytes);
    bytes = NULL;
    if (!path) return NX_SLICE_NULL;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    bytes = malloc(16u << 20);
    assert_non_null(bytes);
    size_t n = fread(bytes, 1, 16u << 20, f);
    (void)fclose(f);
    return nx_slice_make(bytes, n);
}

static const char flush_source[] = "use std::io::Write;\n#[no_mangle]\npub extern \"C\" fn __nexus_flush() { let _ = std::io::stdout().flush(); }\n";

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

/* As `nexus build` does it: the source alone, and an object that flushes stdout. */
static void build_rust(const char *compiler, const char *target, const char *debug, const char *rs, const char *wasm)
{
    char flush_rs[128], flush_o[128], link_flush[160];
    (void)snprintf(flush_rs, sizeof flush_rs, "%s/flush.rs", rt_help_dir);
    (void)snprintf(flush_o, sizeof flush_o, "%s/flush.o", rt_help_dir);
    (void)snprintf(link_flush, sizeof link_flush, "link-arg=%s", flush_o);
    write_text(flush_rs, flush_source);
    const char *object[] = {compiler, "--target", target, "--crate-type", "lib", "-O", "--emit=obj", "-o", flush_o, flush_rs, NULL};
    assert_int_equal(run_program(object), 0);
    const char *library[] = {compiler, "--target", target, "--crate-type", "cdylib", "-O", "-C", debug, "-C", link_flush, "-C", "link-arg=--export=__nexus_flush",
                             "-o", wasm, rs, NULL};
    assert_int_equal(run_program(library), 0);
}

static nx_slice rust(const char *name, const char *source, const char *debug)
{
    static const char *const compilers[] = {"rustc", "/usr/bin/rustc"};
    static const char *const targets[] = {"wasm32-wasip1", "wasm32-wasi"};
    char rs[128], wasm[128];
    if (!name) return read_whole(NULL);
    (void)snprintf(rs, sizeof rs, "%s/%s.rs", rt_help_dir, name);
    (void)snprintf(wasm, sizeof wasm, "%s/%s.wasm", rt_help_dir, name);
    write_text(rs, source);
    for (size_t i = 0; i < NX_ARRAY_LEN(compilers); i++) {
        for (size_t k = 0; k < NX_ARRAY_LEN(targets); k++) {
            char command[512];
            (void)snprintf(command, sizeof command, "s=$(%s --print sysroot 2>/dev/null) && test -d \"$s/lib/rustlib/%s/lib\"", compilers[i], targets[k]);
            const char *probe[] = {"/bin/sh", "-c", command, NULL};
            if (run_program(probe) != 0) continue;
            build_rust(compilers[i], targets[k], debug, rs, wasm);
            return read_whole(wasm);
        }
    }
    fail_msg("no rustc with a WASI target; scripts/setup installs one");
    return NX_SLICE_NULL;
}

nx_slice rt_help_rust(const char *name, const char *source) { return rust(name, source, "debuginfo=0"); }
nx_slice rt_help_rust_debug(const char *name, const char *source) { return rust(name, source, "debuginfo=1"); }

nx_rt_program *rt_help_load(nx_slice module)
{
    nx_rt_program *p = NULL;
    nx_error e = NX_ERROR_INIT;
    nx_sha256 digest = nx_sha256_of(module);
    if (nx_rt_program_load(rt, module, &digest, 128u << 20, &p, &e)) fail_msg("load: %s", e.msg);
    return p;
}

nx_rt_program *rt_help_load_wat(const char *wat) { return rt_help_load(rt_help_wat(wat)); }

void rt_help_run(nx_attempt *a, nx_rt_program *p)
{
    nx_error e = NX_ERROR_INIT;
    a->program = p;
    rt_help_engine_signals();
    if (nx_rt_run(rt, a, &e)) fail_msg("run: %s", e.msg);
}

void rt_help_assert_outcome(const nx_attempt *a, nx_run_status status, nx_run_why why)
{
    if (a->out.status != status || a->out.why != why)
        fail_msg("outcome is %s/%s (%s), expected %s/%s", nx_run_status_name(a->out.status), nx_run_why_name(a->out.why), a->out.message,
                 nx_run_status_name(status), nx_run_why_name(why));
}

/* child.c: the limited child: compiles one module, or looks lines up in its debug information, and ends.
 * Why a process of its own: the compiler is the largest piece of code that untrusted bytes reach, and the only one that can use any amount of
 * memory and time: 260 kB of loops with many locals take 8 GiB. Limits: processor time, memory, file size, no core file, no descriptors but
 * its own; and where memory is short all the same, the kernel ends this process before any other. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nx/rt_artifact.h"
#include "nx/sched.h"
#include "rt_internal.h"

#ifndef NX_SANITIZER
/* Half of what there is, where that is less. */
static uint64_t memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t half = pages > 0 && page_bytes > 0 ? (uint64_t)pages / 2 * (uint64_t)page_bytes : NX_RT_CHILD_MEMORY_BYTES;
    return half < NX_RT_CHILD_MEMORY_BYTES ? half : NX_RT_CHILD_MEMORY_BYTES;
}
#endif

/* A lower limit that is already set stays. There is nobody to tell of a failure. */
static void limit(__rlimit_resource_t what, rlim_t soft, rlim_t hard)
{
    struct rlimit r;
    if (getrlimit(what, &r) != 0) return;
    if (r.rlim_cur > soft) r.rlim_cur = soft;
    if (r.rlim_max > hard) r.rlim_max = hard;
    (void)setrlimit(what, &r);
}

static void be_the_first_to_go(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!write(fd, "1000", 4);
    (void)close(fd);
}

static void lock_down(void)
{
    (void)syscall(SYS_close_range, 5u, ~0u, 0u);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    be_the_first_to_go(); /* before the next, after which the file is root's */
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    nx_sched_behind(5);
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_CPU, NX_RT_CHILD_CPU_S, NX_RT_CHILD_CPU_S + 5); /* SIGXCPU at the first, which says why; SIGKILL at the second */
    limit(RLIMIT_FSIZE, NX_RT_CHILD_FILE_BYTES, NX_RT_CHILD_FILE_BYTES);
#ifndef NX_SANITIZER /* whose shadow memory alone is larger */
    /* Not the address space, of which every thread reserves much that it never touches: that limit would depend on the number of cores. */
    limit(RLIMIT_DATA, memory_bytes(), memory_bytes());
#endif
}

static int failed(int code, const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    return code;
}

/* The engine's text for people: its first line says "failed to …", the last the cause. */
static int refused(wasmtime_error_t *error)
{
    wasm_name_t text;
    wasmtime_error_message(error, &text);
    (void)fprintf(stderr, "the engine refused the module: %.*s\n", (int)(text.size > 1500 ? 1500 : text.size), text.data);
    wasm_byte_vec_delete(&text);
    wasmtime_error_delete(error);
    return NX_RT_CHILD_REFUSED;
}

/* The module as it is compiled: where the artifact names an init, as that left it. 0: *ret is set, lent by `bytes` or `derived`. */
static int prepare(nx_slice bytes, nx_buf *derived, nx_slice *ret)
{
    nx_rt_artifact parts;
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_rt_artifact_split(bytes, &parts, &e);
    if (!err && parts.init.n) err = nx_rt_preinit(parts.module, parts.init, derived, &e);
    if (err) return failed(err == NX_EMODULE || err == NX_ELIMIT ? NX_RT_CHILD_REFUSED : NX_RT_CHILD_FAILED, e.msg[0] ? e.msg : nx_err_text(err));
    *ret = parts.init.n ? nx_buf_view(derived) : parts.module;
    return 0;
}

/* is_derived: it is not the artifact's own module. */
static int compile(nx_slice bytes, bool is_derived)
{
    wasm_config_t *config = nx_rt_engine_config();
    wasm_engine_t *engine = config ? wasm_engine_new_with_config(config) : NULL;
    wasmtime_module_t *module = NULL;
    wasm_byte_vec_t code;
    if (!engine) return failed(NX_RT_CHILD_FAILED, "out of memory");
    wasmtime_error_t *error = wasmtime_module_new(engine, (const uint8_t *)bytes.p, bytes.n, &module);
    if (!error) error = wasmtime_module_serialize(module, &code);
    if (error) {
        if (module) wasmtime_module_delete(module);
        wasm_engine_delete(engine);
        return refused(error);
    }
    nx_sha256 derived = is_derived ? nx_sha256_of(bytes) : (nx_sha256){0};
    nx_err err = nx_rt_cache_seal(NX_RT_CHILD_FD_OUT, nx_slice_make(code.data, code.size), is_derived ? &derived : NULL);
    wasm_byte_vec_delete(&code);
    wasmtime_module_delete(module);
    wasm_engine_delete(engine);
    return err ? failed(NX_RT_CHILD_FAILED, strerror(errno)) : NX_RT_CHILD_OK;
}

static int symbolise(nx_slice bytes, int argc, char **argv)
{
    nx_err err = nx_rt_symbolise_in_child(bytes, argv, (unsigned)argc, NX_RT_CHILD_FD_OUT);
    if (err == NX_OK) return NX_RT_CHILD_OK;
    return failed(err == NX_EMODULE ? NX_RT_CHILD_REFUSED : NX_RT_CHILD_FAILED, nx_err_text(err));
}

int nx_rt_child_main(int argc, char **argv)
{
    struct stat st;
    if (argc < 3 || strcmp(argv[1], NX_RT_CHILD_VERB) != 0 || fstat(NX_RT_CHILD_FD_MODULE, &st) != 0 || fcntl(NX_RT_CHILD_FD_OUT, F_GETFD) < 0)
        return failed(NX_RT_CHILD_FAILED, "this is for the node's own use");
    lock_down();
    if (st.st_size <= 0 || (uint64_t)st.st_size > NX_RT_MODULE_BYTES_MAX) return failed(NX_RT_CHILD_REFUSED, "the module is too large");
    size_t n = (size_t)st.st_size;
    void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, NX_RT_CHILD_FD_MODULE, 0);
    if (p == MAP_FAILED) return failed(NX_RT_CHILD_FAILED, strerror(errno));
    nx_slice bytes = nx_slice_make(p, n);
    nx_buf derived = NX_BUF_INIT(NX_RT_MODULE_BYTES_MAX);
    nx_slice module;
    int code = prepare(bytes, &derived, &module);
    if (code == 0) code = strcmp(argv[2], NX_RT_CHILD_SYMBOLISE) == 0 ? symbolise(module, argc - 3, argv + 3) : compile(module, module.p == derived.p && derived.n);
    nx_buf_done(&derived);
    (void)munmap(p, n);
    return code;
}

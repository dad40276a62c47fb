/* offline.c: a runtime of the command's own, and bundles repeated in it. */
#include "offline.h"
#include "compare.h"
#include "nx/what_if.h"
#include "offline_secrets.h"
#include "what_if.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define POOL_SLOTS 4
#define ARENA_BYTES (2u * NX_BUNDLE_BYTES_MAX)

/* ---- where compiled code is kept ---------------------------------------------------------------------------------- */

/* Compiled code lies flat in its folder. */
static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        (void)unlinkat(dirfd(dir), e->d_name, 0); /* "." and ".." are refused */
    if (dir)
        closedir(dir);
    if (rmdir(path) != 0)
        fprintf(stderr, "nexus: %s could not be removed: %s\n", path, strerror(errno));
}

int nx_cli_offline_open(const nx_cli *c, bool is_debug, nx_cli_offline *ret)
{
    char dir[NX_CLI_PATH_BYTES];
    nx_error e = NX_ERROR_INIT;
    memset(ret, 0, sizeof *ret);
    nx_log_set_level(NX_LOG_ERROR);
    nx_rt_options o = {.cache_dir = dir, .slots = 1, .pool_slots = POOL_SLOTS, .is_debug = is_debug};
    if (is_debug && !nx_rt_can_debug())
        return nx_cli_fail(c, NX_ENOTSUP, "this program's engine was built without support for debuggers; a development build (make build) has it");
    e.code = nx_cli_user_cache("compiled", dir, sizeof dir) ? nx_rt_new(&o, &ret->rt, &e) : NX_EDENIED;
    if (e.code != NX_OK) {
        snprintf(ret->temporary, sizeof ret->temporary, "/tmp/nexus-XXXXXX");
        if (!mkdtemp(ret->temporary))
            return nx_cli_fail(c, nx_err_from_errno(errno), "no folder for compiled code in /tmp: %s", strerror(errno));
        snprintf(dir, sizeof dir, "%s", ret->temporary);
        e.code = nx_rt_new(&o, &ret->rt, &e);
    }
    if (e.code == NX_OK)
        e.code = nx_replay_repetition_new(ret->rt, &ret->repetition);
    if (e.code == NX_OK)
        return NX_CLI_OK;
    nx_cli_offline_close(ret);
    return nx_cli_fail(c, e.code, "functions can't run here: %s", e.msg[0] ? e.msg : nx_err_text(e.code));
}

void nx_cli_offline_close(nx_cli_offline *o)
{
    nx_replay_repetition_free(o->repetition);
    if (o->rt)
        nx_rt_free(o->rt);
    if (o->temporary[0])
        remove_folder(o->temporary);
    memset(o, 0, sizeof *o);
}

/* ---- bundles ------------------------------------------------------------------------------------------------------ */

bool nx_cli_is_bundle(const char *path)
{
    if (nx_slice_ends(nx_slice_cstr(path), NX_SLICE(".nxb")))
        return true;
    char mark[sizeof NX_BUNDLE_MARK - 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, mark, sizeof mark);
    close(fd);
    return n == (ssize_t)sizeof mark && nx_bundle_is_one(nx_slice_make(mark, sizeof mark));
}

nx_err nx_cli_bundle_read(const char *path, nx_arena *a, nx_bundle *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf file = NX_BUF_INIT(NX_BUNDLE_BYTES_MAX);
    nx_err e = nx_cli_read_file(path, &file, reterr);
    if (e != NX_OK)
        return e;
    e = nx_bundle_decode(nx_buf_view(&file), a, ret, reterr);
    if (e != NX_OK)
        nx_error_prefix(reterr, "%s", path);
    return e;
}

static void tell_of_redaction(const nx_cli *c, const nx_bundle *b)
{
    if (c->json || b->n_redacted == 0)
        return;
    printf("redacted in this bundle:");
    for (unsigned i = 0; i < b->n_redacted; i++) {
        printf("%s ", i ? "," : "");
        nx_cli_print_safe(stdout, b->redacted[i]);
    }
    if (b->is_rerecorded)
        printf("; the recording was made anew with that event (in production the run ended %.*s)", NX_SLICE_FMT(b->first_status));
    putchar('\n');
}

/* What the node does with the request, done here. */
static int offline_what_if(const nx_cli *c, const nx_bundle *b, nx_arena *a, nx_replay_how *how)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf request = NX_BUF_INIT(NX_CLI_WHAT_IF_BYTES);
    nx_replay_what_if what_if;
    nx_json *j = NULL;
    nx_error e = NX_ERROR_INIT;
    nx_jw w = NX_JW_INIT(&request);
    nx_jw_object(&w);
    int code = nx_cli_what_if(c, &w);
    if (code != NX_CLI_OK)
        return code;
    nx_jw_object_end(&w);
    e.code = nx_jw_err(&w);
    if (e.code == NX_OK)
        e.code = nx_json_parse(nx_buf_view(&request), NX_CLI_WHAT_IF_BYTES, &j, &e);
    if (e.code == NX_OK)
        e.code = nx_what_if_from_json(j, a, &what_if, &e);
    if (e.code == NX_OK)
        e.code = nx_what_if_apply(&what_if, &b->event, &b->run, a, how, &e);
    nx_json_free(j);
    return e.code == NX_OK ? NX_CLI_OK : nx_cli_fail_error(c, &e);
}

/* Loaded before anybody attaches, so that a debugger finds the code and its lines; the repetition finds it loaded. */
static int load_for_debugger(const nx_cli *c, const nx_cli_offline *o, const nx_bundle *b, nx_slice other, nx_rt_program **ret)
{
    nx_error e = NX_ERROR_INIT;
    nx_slice module = other.n ? other : b->artifact;
    nx_sha256 digest = nx_sha256_of(module);
    e.code = nx_rt_program_load(o->rt, module, &digest, b->run.limit_memory_bytes, ret, &e);
    if (e.code != NX_OK)
        return nx_cli_fail(c, e.code, "the code can't be loaded: %s", e.msg);
    nx_cli_debug_wait(c, module);
    return NX_CLI_OK;
}

/* The bundle, and other code to run it with where some is named. */
static int read_case(const nx_cli *c, const char *name, nx_slice bundle, const char *against, nx_arena *a, nx_bundle **ret, nx_buf *ret_module)
{
    nx_error e = NX_ERROR_INIT;
    nx_bundle *b = nx_arena_calloc(a, 1, sizeof *b);
    e.code = b ? nx_bundle_decode(bundle, a, b, &e) : NX_ENOMEM;
    if (e.code != NX_OK)
        return nx_cli_fail(c, e.code, "%s: %s", name, e.msg[0] ? e.msg : nx_err_text(e.code));
    if (against)
        e.code = nx_cli_code_read(c, against, ret_module, &e);
    if (e.code != NX_OK)
        return nx_cli_fail(c, e.code, "%s", e.msg[0] ? e.msg : nx_err_text(e.code));
    const char *function = nx_cli_flag_text(c, "function");
    if (function && !nx_slice_eq_cstr(b->run.function, function))
        return nx_cli_fail(c, NX_ENOENT, "%s holds a run of function '%.*s', not of '%s'", name, NX_SLICE_FMT(b->run.function), function);
    *ret = b;
    return NX_CLI_OK;
}

static nx_err repeat(const nx_cli_offline *o, const nx_bundle *b, nx_slice other, const nx_replay_how *how, bool is_debug, nx_buf *ret_line)
{
    char hex[NX_SHA256_HEX + 1];
    nx_jw w = NX_JW_INIT(ret_line);
    nx_replay_result r = *nx_bundle_repeat(o->repetition, o->rt, b, other, how, hex);
    nx_replay_explanation why;
    if (is_debug) /* who stands in a debugger goes through it once */
        return nx_replay_result_to_json(&r, &w);
    nx_bundle_explain(&why, o->rt, b, other, how, &r);
    nx_err err = nx_replay_result_to_json(&r, &w);
    nx_replay_explanation_done(&why);
    return err;
}

int nx_cli_offline_replay(const nx_cli *c, const char *name, nx_slice bundle, const char *against, nx_buf *ret_line)
{
    bool is_debug = nx_cli_flag_is_set(c, "debug");
    nx_rt_program *program = NULL;
    nx_cli_offline o;
    NX_CLEANUP(nx_cli_secrets_close)
    nx_cli_secrets secrets = {.dir = NULL};
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_CLI_MODULE_BYTES);
    nx_bundle *b = NULL;
    int code = read_case(c, name, bundle, against, &a, &b, &module);
    if (code == NX_CLI_OK)
        code = nx_cli_secrets_open(c, &secrets);
    if (code == NX_CLI_OK)
        code = nx_cli_offline_open(c, is_debug, &o);
    if (code != NX_CLI_OK || !b)
        return code;
    tell_of_redaction(c, b);
    nx_replay_how how = {.is_other_code = against != NULL};
    nx_cli_secrets_use(&secrets, b->run.ns, &how);
    code = offline_what_if(c, b, &a, &how);
    if (code == NX_CLI_OK && is_debug)
        code = load_for_debugger(c, &o, b, nx_buf_view(&module), &program);
    if (code != NX_CLI_OK) {
        nx_cli_offline_close(&o);
        return code;
    }
    nx_err err = repeat(&o, b, nx_buf_view(&module), &how, is_debug, ret_line);
    if (err == NX_OK)
        err = nx_buf_append_char(ret_line, '\n');
    nx_rt_program_unref(program);
    nx_cli_offline_close(&o);
    return err == NX_OK ? NX_CLI_OK : nx_cli_fail(c, err, "the result does not fit into memory");
}

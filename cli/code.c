/* code.c: naming the code that a command means. */
#include "compare.h"
#include "nx/artifact.h"
#include "nx/digest.h"
#include <stdlib.h>

/* A file in the folder must not stand in the place of a version or an alias. */
static bool is_file(const char *text) { return strchr(text, '/') || nx_slice_ends(nx_slice_cstr(text), NX_SLICE(".wasm")); }

/* The function of the project here whose module the file is, and which adds to it. */
static const nx_fn_config *owner_of(const nx_config *cfg, const char *path)
{
    const nx_fn_config *found = NULL;
    char *real = realpath(path, NULL), code[NX_CLI_PATH_BYTES];
    for (unsigned i = 0; real && !found && i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        char *other = (f->n_files || f->is_preinit || f->init.n) && nx_slice_to_cstr(f->code_path, code, sizeof code) == NX_OK ? realpath(code, NULL) : NULL;
        if (other && strcmp(real, other) == 0)
            found = f;
        free(other);
    }
    free(real);
    return found;
}

nx_err nx_cli_code_read(const nx_cli *c, const char *path, nx_buf *out, nx_error *reterr)
{
    char project[NX_CLI_PATH_BYTES];
    nx_config *cfg = NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_ARTIFACT_BYTES_MAX + 1);
    NX_CLEANUP(nx_buf_done)
    nx_buf problems = NX_BUF_INIT(1u << 20);
    nx_err err = nx_cli_read_file(path, &module, reterr);
    if (err != NX_OK)
        return err;
    /* A project that can't be read says so where it is what is meant; here it may be there by chance. */
    if (nx_cli_project_find(project, sizeof project, NULL) == NX_OK)
        (void)nx_cli_config_load(c, project, 0, &cfg, &problems, NULL);
    const nx_fn_config *f = cfg ? owner_of(cfg, path) : NULL;
    err = f ? nx_artifact_with_files(cfg, f, nx_buf_view(&module), out, reterr) : nx_buf_append_slice(out, nx_buf_view(&module));
    nx_config_unref(cfg);
    return err;
}

int nx_cli_code_name(nx_cli_client *node, const char *what, const char *text, char ret[NX_CLI_CODE_BYTES])
{
    if (!is_file(text)) {
        if (snprintf(ret, NX_CLI_CODE_BYTES, "%s", text) >= NX_CLI_CODE_BYTES)
            return nx_cli_fail_usage(node->cli, "%s: \"%s\" is no version, digest or file", what, text);
        return NX_CLI_OK;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_ARTIFACT_BYTES_MAX);
    nx_error e = NX_ERROR_INIT;
    if ((e.code = nx_cli_code_read(node->cli, text, &module, &e)) != NX_OK)
        return nx_cli_fail(node->cli, e.code, "%s: %s", what, e.msg);
    char path[128];
    nx_httpc_resp reply = {0};
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&module));
    nx_sha256_hex(&digest, ret);
    snprintf(path, sizeof path, "/api/v1/artifacts/%s", ret);
    nx_cli_request q = {
        .method = "PUT",
        .path = path,
        .content_type = "application/wasm",
        .body = nx_buf_view(&module),
        .progress = "uploading",
    };
    int code = nx_cli_call(node, &q, &reply);
    if (code == NX_CLI_OK)
        nx_buf_done(&reply.body);
    return code;
}

void nx_cli_print_code(nx_slice name)
{
    bool is_digest = name.n == NX_SHA256_HEX; /* code that has no version: an uploaded module */
    printf("%s", is_digest ? "sha256:" : "");
    nx_cli_print_safe(stdout, nx_slice_sub(name, 0, is_digest ? 12 : name.n));
    printf("%s", is_digest ? "…" : "");
}

/* offline_secrets.c: see offline_secrets.h. */
#include "offline_secrets.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define KEY_FILE "secret.key"
#define VALUE_BYTES (64u << 10)

static nx_err read_value(const char *path, nx_slice name, nx_buf *out, nx_error *reterr)
{
    ssize_t n = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return nx_error_set(reterr, NX_ENOENT, "%s: %s; it is to hold the value of secret %.*s", path, strerror(errno), NX_SLICE_FMT(name));
    nx_err err = nx_buf_reserve(out, VALUE_BYTES + 1);
    while (err == NX_OK && n > 0 && out->n <= VALUE_BYTES) {
        n = read(fd, out->p + out->n, VALUE_BYTES + 1 - out->n);
        out->n += n > 0 ? (size_t)n : 0;
    }
    if (err == NX_OK && n < 0)
        err = nx_error_set(reterr, NX_ENOENT, "%s: %s", path, strerror(errno));
    else if (err == NX_OK && out->n > VALUE_BYTES)
        err = nx_error_set(reterr, NX_ELIMIT, "%s: a secret has at most %u bytes", path, VALUE_BYTES);
    close(fd);
    /* An editor ends a file with a line end, which is not meant. */
    if (err == NX_OK && out->n && out->p[out->n - 1] == '\n')
        out->n--;
    if (err == NX_OK && out->n && out->p[out->n - 1] == '\r')
        out->n--;
    return err;
}

static nx_err secret_get(void *self, const nx_effect_call *call, nx_slice name, nx_error *reterr)
{
    const nx_cli_secrets *s = self;
    char path[NX_CLI_PATH_BYTES];
    if (!s->dir)
        return nx_error_set(reterr, NX_ENOENT, "a bundle holds none; --secrets DIR takes values from files, or replay the event on its node");
    if (!nx_secret_name_is_valid(name))
        return nx_error_set(reterr, NX_EINVAL, "not the name of a secret");
    int n = snprintf(path, sizeof path, "%s/%.*s", s->dir, NX_SLICE_FMT(name));
    if (n < 0 || (size_t)n >= sizeof path)
        return nx_error_set(reterr, NX_EINVAL, "%s: the path is too long", s->dir);
    nx_err err = read_value(path, name, call->answer, reterr);
    return err == NX_OK ? nx_core_secret_keys_proof(&s->keys, s->ns, name, nx_buf_view(call->answer), call->keep) : err;
}

static nx_err keyed_digest(void *self, nx_slice call, nx_slice request, nx_sha256 *ret, nx_error *reterr)
{
    const nx_cli_secrets *s = self;
    (void)reterr;
    return nx_core_secret_keys_request(&s->keys, s->ns, call, request, ret);
}

static const nx_effect_ops ops = {.secret_get = secret_get, .keyed_digest = keyed_digest};

int nx_cli_secrets_open(const nx_cli *c, nx_cli_secrets *ret)
{
    char path[NX_CLI_PATH_BYTES];
    uint8_t key[NX_SEAL_KEY_BYTES];
    nx_error e = NX_ERROR_INIT;
    *ret = (nx_cli_secrets){.dir = nx_cli_flag_text(c, "secrets")};
    if (!ret->dir)
        return NX_CLI_OK;
    int n = snprintf(path, sizeof path, "%s/" KEY_FILE, ret->dir);
    e.code = n < 0 || (size_t)n >= sizeof path ? nx_error_set(&e, NX_EINVAL, "the path is too long") : nx_core_secret_key_read(path, false, key, &e);
    if (e.code == NX_OK)
        e.code = nx_core_secret_keys_of(key, &ret->keys);
    nx_wipe(key, sizeof key);
    return e.code == NX_OK ? NX_CLI_OK : nx_cli_fail(c, e.code, "flag --secrets: the key of the node that recorded the run, which proves values, has to lie in it: %s", e.msg);
}

void nx_cli_secrets_close(nx_cli_secrets *s) { nx_core_secret_keys_done(&s->keys); }

void nx_cli_secrets_use(nx_cli_secrets *s, nx_slice ns, nx_replay_how *how)
{
    s->ns = ns;
    how->effect_ops = &ops;
    how->effect_self = s;
}

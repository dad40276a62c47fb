/* secret_key.c: the file of the key that seals secrets: 32 bytes as base64, one line. */
#include "secrets.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES 44 /* base64 of 32 bytes */

static nx_err decode(const char *path, nx_slice text, uint8_t key[NX_SEAL_KEY_BYTES], nx_error *reterr)
{
    char out[NX_SEAL_KEY_BYTES + 4];
    nx_slice bytes;
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r' || text.p[text.n - 1] == ' ')) text.n--;
    bool is_good = text.n == TEXT_BYTES && nx_base64_decode(text, &bytes, out, sizeof out) == NX_OK && bytes.n == NX_SEAL_KEY_BYTES;
    if (is_good)
        memcpy(key, bytes.p, NX_SEAL_KEY_BYTES);
    nx_wipe(out, sizeof out);
    return is_good ? NX_OK : nx_error_set(reterr, NX_EINVAL, "%s does not hold a key: 32 bytes as base64 (openssl rand -base64 32)", path);
}

static nx_err read_key(const char *path, bool is_ours, uint8_t key[NX_SEAL_KEY_BYTES], nx_error *reterr)
{
    char text[256];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    nx_err err = fstat(fd, &st) == 0 ? NX_OK : nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!err && is_ours && (st.st_mode & 077)) /* a mounted one has the mode that its mount gives it */
        err = nx_error_set(reterr, NX_EDENIED, "%s can be read by others: chmod 600 it, and set the secrets anew if others had access", path);
    ssize_t n = err ? 0 : read(fd, text, sizeof text);
    close(fd);
    if (!err)
        err = n < 0 ? nx_error_set(reterr, NX_EIO, "%s: %s", path, strerror(errno)) : decode(path, nx_slice_make(text, (size_t)n), key, reterr);
    nx_wipe(text, sizeof text);
    return err;
}

/* Linked into place: whoever sees the file sees the whole of it, and of two that make one, one wins. */
static nx_err make_key(const char *path, nx_error *reterr)
{
    char tmp[4096], text[TEXT_BYTES + 2];
    uint8_t key[NX_SEAL_KEY_BYTES];
    int n = snprintf(tmp, sizeof tmp, "%s.%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof tmp)
        return nx_error_set(reterr, NX_EINVAL, "%s: the path is too long", path);
    nx_random(key, sizeof key);
    size_t k = nx_base64_encode(nx_slice_make(key, sizeof key), false, text);
    text[k++] = '\n';
    (void)unlink(tmp);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_ok = fd >= 0 && write(fd, text, k) == (ssize_t)k && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (is_ok && link(tmp, path) != 0 && errno != EEXIST) {
        why = errno;
        is_ok = false;
    }
    (void)unlink(tmp);
    nx_wipe(key, sizeof key);
    nx_wipe(text, sizeof text);
    return is_ok ? NX_OK : nx_error_set(reterr, nx_err_from_errno(why), "%s cannot be made: %s", path, strerror(why));
}

nx_err nx_core_secret_key_read(const char *path, bool may_make, uint8_t key[NX_SEAL_KEY_BYTES], nx_error *reterr)
{
    nx_err err = read_key(path, may_make, key, reterr);
    if (err != NX_ENOENT || !may_make)
        return err;
    err = make_key(path, reterr);
    return err ? err : read_key(path, may_make, key, reterr);
}

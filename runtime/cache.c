/* cache.c: compiled code on disk, by digest of the module and fingerprint of the engine.
 * The engine maps such a file and runs it, so a file is taken only when it lies in a directory that is ours alone (0700), is ours, can be
 * written by nobody else, and carries a seal with the SHA-256 of its bytes. The seal is checked before a program is mapped for the first time
 * in a process: about 0.6 ms a megabyte, and it finds the torn or zeroed file that a power cut leaves behind a rename without fsync.
 * Files are never taken from the network; a wrong one is removed and compiled again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rt_internal.h"

/* Behind the code, whose sections the engine finds by the offsets at its front. */
typedef struct seal {
    nx_sha256 derived; /* zeros: none */
    char magic[8];
    uint64_t code_bytes;
    nx_sha256 sha256; /* of the code and `derived` */
} seal;
_Static_assert(sizeof(seal) == NX_RT_CACHE_SEAL_BYTES, "readers of sealed files cut it off");
static const char seal_magic[8] = {'N', 'X', 'C', 'O', 'D', 'E', '0', '2'};
#define CODE_BYTES_MAX (1ull << 30)

/* Every save in development leaves a file; so many of the newest, and so many bytes, are kept when the cache is opened. A file that is gone is
 * compiled again. */
#define FILES_KEPT 20000u
#define BYTES_KEPT (2ull << 30)
#define FILES_SEEN_MAX 65536u
#define TEMP_AGE_S 3600 /* a compile that was killed left its file behind */

typedef struct cache_file {
    char name[NX_RT_CACHE_NAME_BYTES];
    time_t used; /* last time it was taken, or made */
    uint64_t n_bytes;
} cache_file;

static int newest_first(const void *a, const void *b)
{
    time_t x = ((const cache_file *)a)->used, y = ((const cache_file *)b)->used;
    return (x < y) - (x > y);
}

static void prune(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf files = NX_BUF_INIT(FILES_SEEN_MAX * sizeof(cache_file));
    if (!dir) {
        if (fd >= 0) (void)close(fd);
        return;
    }
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        cache_file f;
        struct stat st;
        if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof f.name || fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        bool is_temp = strncmp(e->d_name, "new-", 4) == 0;
        if (is_temp && st.st_mtime < time(NULL) - TEMP_AGE_S) nx_rt_cache_remove(dir_fd, e->d_name);
        if (is_temp) continue;
        (void)snprintf(f.name, sizeof f.name, "%s", e->d_name);
        f.used = st.st_mtime;
        f.n_bytes = (uint64_t)st.st_size;
        if (nx_buf_append(&files, &f, sizeof f) != NX_OK) break;
    }
    (void)closedir(dir);
    size_t n = files.n / sizeof(cache_file);
    cache_file *v = (cache_file *)(void *)files.p;
    if (n) qsort(v, n, sizeof *v, newest_first);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += v[i].n_bytes;
        if (i >= FILES_KEPT || sum > BYTES_KEPT) nx_rt_cache_remove(dir_fd, v[i].name);
    }
}

nx_err nx_rt_cache_open(const char *dir, int *ret_fd, nx_error *reterr)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return nx_error_set(reterr, nx_err_from_errno(errno), "cache directory %s: %s", dir, strerror(errno));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int e = errno;
        if (fd >= 0) (void)close(fd);
        return nx_error_set(reterr, nx_err_from_errno(e), "cache directory %s: %s", dir, strerror(e));
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        (void)close(fd);
        return nx_error_set(reterr, NX_EDENIED, "cache directory %s holds native code: it has to belong to this user alone (chmod 700)", dir);
    }
    prune(fd);
    *ret_fd = fd;
    return NX_OK;
}

void nx_rt_cache_name(const nx_sha256 *digest, char out[NX_RT_CACHE_NAME_BYTES])
{
    char fingerprint[17];
    nx_rt_engine_fingerprint(fingerprint);
    nx_sha256_hex(digest, out);
    (void)snprintf(out + NX_SHA256_HEX, NX_RT_CACHE_NAME_BYTES - NX_SHA256_HEX, "-%s", fingerprint);
}

void nx_rt_cache_remove(int dir_fd, const char *name) { (void)unlinkat(dir_fd, name, 0); }

static bool is_sealed(int fd, uint64_t file_bytes, bool is_verified)
{
    seal s;
    if (file_bytes <= sizeof s || file_bytes > CODE_BYTES_MAX) return false;
    uint64_t code_bytes = file_bytes - sizeof s;
    if (pread(fd, &s, sizeof s, (off_t)code_bytes) != (ssize_t)sizeof s) return false;
    if (memcmp(s.magic, seal_magic, sizeof s.magic) != 0 || s.code_bytes != code_bytes) return false;
    if (is_verified) return true;
    size_t hashed_bytes = (size_t)code_bytes + sizeof s.derived;
    void *p = mmap(NULL, hashed_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED) return false;
    nx_sha256 d = nx_sha256_of(nx_slice_make(p, hashed_bytes));
    (void)munmap(p, hashed_bytes);
    return memcmp(&d, &s.sha256, sizeof d) == 0;
}

nx_err nx_rt_cache_take(int dir_fd, const char *name, bool is_verified, int *ret_fd)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ELOOP) nx_rt_cache_remove(dir_fd, name);
        return NX_ENOENT;
    }
    bool is_ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) && st.st_size > 0;
    if (is_ours && is_sealed(fd, (uint64_t)st.st_size, is_verified)) {
        if (!is_verified) (void)futimens(fd, NULL); /* used now: see prune() */
        *ret_fd = fd;
        return NX_OK;
    }
    (void)close(fd);
    nx_rt_cache_remove(dir_fd, name);
    return NX_ENOENT;
}

nx_err nx_rt_cache_temp(int dir_fd, char out_name[NX_RT_CACHE_NAME_BYTES], int *ret_fd, nx_error *reterr)
{
    uint64_t unique;
    nx_random(&unique, sizeof unique);
    (void)snprintf(out_name, NX_RT_CACHE_NAME_BYTES, "new-%016llx", (unsigned long long)unique);
    int fd = openat(dir_fd, out_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return nx_error_set(reterr, nx_err_from_errno(errno), "cache of compiled code: %s", strerror(errno));
    *ret_fd = fd;
    return NX_OK;
}

nx_err nx_rt_cache_publish(int dir_fd, const char *temp_name, const char *name, nx_error *reterr)
{
    if (renameat(dir_fd, temp_name, dir_fd, name) == 0) return NX_OK;
    int e = errno;
    nx_rt_cache_remove(dir_fd, temp_name);
    return nx_error_set(reterr, nx_err_from_errno(e), "cache of compiled code: %s", strerror(e));
}

static bool write_all(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

nx_err nx_rt_cache_seal(int fd, nx_slice code, const nx_sha256 *derived)
{
    seal s = {.code_bytes = code.n};
    nx_sha256_ctx *ctx = nx_sha256_ctx_new();
    if (!ctx) return NX_ENOMEM;
    if (derived) s.derived = *derived;
    nx_sha256_ctx_begin(ctx);
    nx_sha256_ctx_add(ctx, code.p, code.n);
    nx_sha256_ctx_add(ctx, s.derived.b, sizeof s.derived.b);
    s.sha256 = nx_sha256_ctx_end(ctx);
    nx_sha256_ctx_free(ctx);
    memcpy(s.magic, seal_magic, sizeof s.magic);
    return write_all(fd, code.p, code.n) && write_all(fd, &s, sizeof s) ? NX_OK : nx_err_from_errno(errno);
}

bool nx_rt_cache_derived(int fd, nx_sha256 *ret)
{
    static const nx_sha256 none;
    struct stat st;
    seal s;
    if (fstat(fd, &st) != 0 || (size_t)st.st_size < sizeof s || pread(fd, &s, sizeof s, st.st_size - (off_t)sizeof s) != (ssize_t)sizeof s) return false;
    *ret = s.derived;
    return memcmp(&s.derived, &none, sizeof none) != 0;
}

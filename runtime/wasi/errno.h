/* wasi/errno.h: the errors of WASI preview 1 that are used (its witx file numbers them), as host calls return them. */
#ifndef NX_RT_WASI_ERRNO_H
#define NX_RT_WASI_ERRNO_H
enum {
    NX_WASI_OK = 0,
    NX_WASI_EBADF = 8,
    NX_WASI_EBUSY = 10,
    NX_WASI_EEXIST = 20,
    NX_WASI_EFAULT = 21,
    NX_WASI_EFBIG = 22,
    NX_WASI_EILSEQ = 25,
    NX_WASI_EINVAL = 28,
    NX_WASI_EISDIR = 31,
    NX_WASI_ELOOP = 32,
    NX_WASI_EMFILE = 33,
    NX_WASI_EMLINK = 34,
    NX_WASI_ENAMETOOLONG = 37,
    NX_WASI_ENOENT = 44,
    NX_WASI_ENOMEM = 48,
    NX_WASI_ENOSPC = 51,
    NX_WASI_ENOTDIR = 54,
    NX_WASI_ENOTEMPTY = 55,
    NX_WASI_ENOTSOCK = 57,
    NX_WASI_ENOTSUP = 58,
    NX_WASI_EPERM = 63,
    NX_WASI_EROFS = 69,
    NX_WASI_ESPIPE = 70,
    NX_WASI_EXDEV = 75,
    NX_WASI_ENOTCAPABLE = 76,
    NX_WASI_END = 0xff /* the call does not return: world->end says why */
};
#endif

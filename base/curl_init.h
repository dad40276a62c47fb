/* curl_init.h: libcurl's global state, made once for all that use it.
 * Threads: any. */
#ifndef NX_CURL_INIT_H
#define NX_CURL_INIT_H
#include "nx/err.h"

nx_err nx_curl_init(nx_error *reterr); /* NX_EIO */
#endif

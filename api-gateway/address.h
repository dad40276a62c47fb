/* address.h: "host:port" as it stands in options, and as it is printed.
 * Threads: any. */
#ifndef NX_GW_ADDRESS_H
#define NX_GW_ADDRESS_H
#include <sys/socket.h>

#include "nx/slice.h"

typedef struct nx_gw_address {
    struct sockaddr_storage sa;
    char host[64]; /* as written, with brackets; "" for ":8080" */
    bool is_any;   /* all addresses of the machine */
} nx_gw_address;

/* "127.0.0.1:8080", "[::1]:0", "localhost:8080" (127.0.0.1), ":8080", "*:8080", "0.0.0.0:80". Other names are refused: what a listener
 * binds must not depend on a name server. NX_EINVAL. */
nx_err nx_gw_address_parse(nx_slice text, nx_gw_address *ret, nx_error *reterr);
/* "127.0.0.1:41234", "[::1]:80". */
void nx_gw_address_format(const struct sockaddr_storage *sa, char *out, size_t size);
#endif

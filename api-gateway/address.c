#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

nx_err nx_gw_address_parse(nx_slice text, nx_gw_address *ret, nx_error *reterr)
{
    nx_gw_address a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a.sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.sa;
    uint64_t port = 0;
    size_t colon = text.n;
    char plain[64] = "";

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || nx_slice_u64(nx_slice_sub(text, colon, text.n), 65535, &port) != NX_OK ||
        nx_slice_to_cstr(nx_slice_sub(text, 0, colon - 1), a.host, sizeof a.host) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not an address to listen on (try 127.0.0.1:8080)",
                            NX_SLICE_FMT(text));
    size_t n = strlen(a.host);
    if (n > 2 && a.host[0] == '[' && a.host[n - 1] == ']')
        (void)nx_slice_to_cstr(nx_slice_make(a.host + 1, n - 2), plain, sizeof plain);
    if (n == 0 || strcmp(a.host, "*") == 0) {
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_ANY);
    } else if (strcmp(a.host, "localhost") == 0) {
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (inet_pton(AF_INET, a.host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else if (plain[0] && inet_pton(AF_INET6, plain, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
    } else {
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\": the host is not an IP address or localhost",
                            NX_SLICE_FMT(text));
    }
    if (a.sa.ss_family == AF_INET) {
        v4->sin_port = htons((uint16_t)port);
        a.is_any = v4->sin_addr.s_addr == htonl(INADDR_ANY);
    } else {
        v6->sin6_port = htons((uint16_t)port);
        a.is_any = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
    }
    *ret = a;
    return NX_OK;
}

void nx_gw_address_format(const struct sockaddr_storage *sa, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        (void)snprintf(out, size, "%s:%u", text, ntohs(v4->sin_port));
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        (void)snprintf(out, size, "[%s]:%u", text, ntohs(v6->sin6_port));
    } else if (size > 0) {
        out[0] = '\0';
    }
}

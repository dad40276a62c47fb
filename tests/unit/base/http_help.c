/* http_help.c: see http_help.h. */
#include "http_help.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int http_help_listen(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64) || getsockname(fd, (struct sockaddr *)&a, &len)) return -1;
    *ret_port = ntohs(a.sin_port);
    return fd;
}

bool http_help_read(int fd, char *request, size_t request_bytes)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = read(fd, request + n, request_bytes - 1 - n);
        if (got <= 0) return false;
        n += (size_t)got;
        request[n] = '\0';
        const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
        if (end && n >= (size_t)(end + 4 - request) + (length ? strtoul(length + 16, NULL, 10) : 0)) return true;
    }
}

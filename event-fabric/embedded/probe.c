/* probe.c: asks a nats-server on the loopback whether it and its JetStream answer: a few lines of the NATS protocol over a plain socket. */
#include "embedded.h"
#include "nx/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

nx_err nx_fab_probe_port(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    nx_err e = NX_OK;

    if (fd < 0)
        return nx_err_from_errno(errno);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || getsockname(fd, (struct sockaddr *)&a, &n))
        e = nx_err_from_errno(errno);
    else
        *ret_port = ntohs(a.sin_port);
    close(fd);
    return e;
}

/* Reads until `what` has come. */
static nx_err read_until(int fd, const char *what, uint64_t end_ns)
{
    char buf[16384];
    size_t n = 0;

    while (n + 1 < sizeof buf) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t got;

        if (poll(&p, 1, nx_clock_poll_ms(nx_clock_ns(), end_ns)) <= 0)
            return NX_ETIMEOUT;
        got = recv(fd, buf + n, sizeof buf - 1 - n, 0);
        if (got <= 0)
            return NX_EUNAVAIL;
        n += (size_t)got;
        buf[n] = 0;
        if (strstr(buf, what))
            return NX_OK;
        if (strstr(buf, "-ERR"))
            return NX_EDENIED;
    }
    return NX_ELIMIT;
}

nx_err nx_fab_probe(uint16_t port, const char *user, const char *password, int timeout_ms)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    uint64_t end = nx_clock_ns() + (unsigned long long)timeout_ms * NX_NS_PER_MS;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[512];
    nx_err e = NX_OK;
    int n;

    if (fd < 0)
        return nx_err_from_errno(errno);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) { /* on the loopback: at once, or refused */
        close(fd);
        return NX_EUNAVAIL;
    }
    n = snprintf(text, sizeof text,
                 "CONNECT {\"verbose\":false,\"user\":\"%s\",\"pass\":\"%s\",\"headers\":true,\"no_responders\":true}\r\n"
                 "SUB _NX.PROBE 1\r\nPUB $JS.API.INFO _NX.PROBE 0\r\n\r\n",
                 user, password);
    e = read_until(fd, "\r\n", end); /* INFO */
    if (!e && send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        e = NX_EUNAVAIL;
    if (!e)
        e = read_until(fd, "account_info_response\"", end); /* an error has that type too, and "error" */
    close(fd);
    return e;
}

/* listener.c: sockets that listen. libuv 1.44 knows no SO_REUSEPORT, so it is set on the descriptor before the bind. */
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "server.h"

#define BACKLOG 1024

static socklen_t length_of(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static nx_err bind_error(const struct sockaddr_storage *sa, int errno_value, nx_error *reterr)
{
    char text[NX_GW_ADDRESS_MAX];
    nx_gw_address_format(sa, text, sizeof text);
    if (errno_value == EADDRINUSE)
        return nx_error_set(reterr, NX_EEXIST, "%s is in use by another process", text);
    return nx_error_set(reterr, nx_err_from_errno(errno_value), "cannot listen on %s: %s", text, strerror(errno_value));
}

nx_err nx_gw_address_probe(const struct sockaddr_storage *sa, nx_error *reterr)
{
    const int on = 1;
    nx_err err = NX_OK;
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "cannot open a socket: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)sa, length_of(sa)) != 0)
        err = bind_error(sa, errno, reterr);
    (void)close(fd);
    return err;
}

static void on_connection(uv_stream_t *stream, int status)
{
    if (status == 0) /* otherwise it is gone again, or descriptors ran out: libuv sheds those */
        nx_gw_conn_accept(stream->data);
}

nx_err nx_gw_loop_listen(nx_gw_loop *l, struct sockaddr_storage *sa, bool is_shared, nx_error *reterr)
{
    const int on = 1;
    uv_os_fd_t fd;
    int n = sizeof *sa;
    int rc = uv_tcp_init_ex(&l->uv, &l->listener, sa->ss_family);

    if (rc != 0)
        return bind_error(sa, -rc, reterr);
    l->is_listening = true;
    l->listener.data = l;
    if (is_shared) {
        rc = uv_fileno((uv_handle_t *)&l->listener, &fd);
        if (rc == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
            rc = -errno;
    }
    if (rc == 0)
        rc = uv_tcp_bind(&l->listener, (const struct sockaddr *)sa, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&l->listener, BACKLOG, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(&l->listener, (struct sockaddr *)sa, &n);
    return rc == 0 ? NX_OK : bind_error(sa, -rc, reterr);
}

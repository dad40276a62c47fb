/* http_floor.c: the bare limit of the gateway: libuv and llhttp, one thread, an empty handler that answers every request with 202.
 * Usage: http_floor   prints its port and serves until standard input closes. */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const char answer[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

typedef struct conn {
    uv_tcp_t tcp;
    llhttp_t parser;
} conn;

static llhttp_settings_t settings;
static char read_buffer[65536];

static void on_closed(uv_handle_t *h) { free(h); }

static void conn_close(conn *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static int on_complete(llhttp_t *p)
{
    conn *c = p->data;
    uv_buf_t out = uv_buf_init((char *)answer, sizeof answer - 1);
    return uv_try_write((uv_stream_t *)&c->tcp, &out, 1) == (int)out.len ? 0 : -1;
}

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *ret)
{
    (void)h, (void)wanted;
    *ret = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    conn *c = (conn *)s;
    if (n < 0 || llhttp_execute(&c->parser, b->base, (size_t)n) != HPE_OK)
        conn_close(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    conn *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return;
    uv_tcp_init(listener->loop, &c->tcp);
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        conn_close(c);
    uv_tcp_nodelay(&c->tcp, 1);
}

static void on_stdin(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    (void)b;
    if (n < 0)
        uv_stop(s->loop);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_pipe_t in;
    struct sockaddr_in a;
    struct sockaddr_storage bound;
    int len = sizeof bound;
    llhttp_settings_init(&settings);
    settings.on_message_complete = on_complete;
    uv_ip4_addr("127.0.0.1", 0, &a);
    uv_tcp_init(loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&a, 0) != 0 || uv_listen((uv_stream_t *)&listener, 1024, on_connection) != 0 ||
        uv_tcp_getsockname(&listener, (struct sockaddr *)&bound, &len) != 0)
        return 1;
    uv_pipe_init(loop, &in, 0);
    uv_pipe_open(&in, 0);
    uv_read_start((uv_stream_t *)&in, on_alloc, on_stdin);
    printf("%d\n", ntohs(((struct sockaddr_in *)&bound)->sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT) < 0;
}

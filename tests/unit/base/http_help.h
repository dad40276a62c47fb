/* http_help.h: what small HTTP servers on threads of a test have in common. */
#ifndef NX_TEST_HTTP_HELP_H
#define NX_TEST_HTTP_HELP_H
#include <stdbool.h>
#include <stddef.h>

/* A listening socket on a free port of the loopback; below 0: none. */
int http_help_listen(int *ret_port);
/* Reads one request with its body; false when the connection ends. */
bool http_help_read(int fd, char *request, size_t request_bytes);
#endif

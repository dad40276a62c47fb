#include "fault.h"

#include <stdarg.h>
#include <stdio.h>

bool nx_gw_fault_set(nx_gw_fault *f, int status, nx_err code, const char *fmt, ...)
{
    va_list ap;
    f->status = status;
    f->e.code = code;
    va_start(ap, fmt);
    if (vsnprintf(f->e.msg, sizeof f->e.msg, fmt, ap) < 0)
        f->e.msg[0] = '\0';
    va_end(ap);
    return false;
}

bool nx_gw_fault_from(nx_gw_fault *f, nx_err code, const nx_error *detail)
{
    int status = nx_err_http_status(code);
    if (code == NX_EMANY)
        status = 429;
    else if (nx_err_is_retryable(code))
        status = 503;
    return nx_gw_fault_set(f, status, code, "%s", detail && detail->msg[0] ? detail->msg : nx_err_text(code));
}

unsigned nx_gw_fault_retry_after_s(const nx_gw_fault *f)
{
    if (f->status != 503 && f->status != 429)
        return 0;
    /* A full log empties by retention or by hand; everything else passes in about a second. */
    return f->e.code == NX_EFULL ? 10 : 1;
}

const char *nx_gw_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].text;
    return "Unknown";
}

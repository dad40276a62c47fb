/* outbound_answer.c: the answer as it comes in, put down at once in the form that the guest gets: one buffer, bounded, written once. */
#include "outbound_internal.h"

#include <stdio.h>

#define HEADERS_MAX 256u

static bool fail(nx_ob_answer *a, nx_err err, const char *what)
{
    a->err = nx_error_set(&a->detail, err, "%s", what);
    return false;
}

void nx_ob_answer_begin(nx_ob_answer *a, nx_buf *out, size_t from, size_t max_body_bytes)
{
    *a = (nx_ob_answer){.out = out, .from = from, .max_body_bytes = max_body_bytes};
    out->n = from;
}

static bool append(nx_ob_answer *a, const void *p, size_t n)
{
    nx_err err = nx_buf_append(a->out, p, n);
    if (!err) return true;
    return fail(a, err, err == NX_ELIMIT ? "the answer is over the limit" : "out of memory");
}

/* "HTTP/1.1 200 OK": of an interim answer (103, …) nothing stays. */
static bool begin_head(nx_ob_answer *a, nx_slice line)
{
    nx_slice rest;
    uint64_t status;
    (void)nx_slice_split(line, ' ', &rest);
    if (nx_slice_u64(nx_slice_sub(rest, 0, 3), 999, &status) != NX_OK || status < 100) return fail(a, NX_EIO, "the answer has no status");
    char text[8];
    a->status = (int)status;
    a->is_head_over = false;
    a->location[0] = '\0';
    a->out->n = a->from;
    return append(a, text, (size_t)snprintf(text, sizeof text, "%d\n", a->status));
}

static bool end_head(nx_ob_answer *a)
{
    if (!append(a, "\n", 1)) return false;
    a->is_head_over = true;
    a->body_from = a->out->n;
    return true;
}

static bool add_field(nx_ob_answer *a, nx_slice line)
{
    nx_slice value, name = nx_slice_split(line, ':', &value);
    value = nx_slice_trim(value);
    if (name.n == line.n || !nx_ob_is_token(name)) return fail(a, NX_EIO, "the answer has a header that is not \"name: value\"");
    if (!nx_ob_is_field_value(value)) return fail(a, NX_EIO, "the answer has a control character in a header");
    if (++a->n_headers > HEADERS_MAX) return fail(a, NX_ELIMIT, "the answer has too many headers");
    if (nx_ob_is_connection_field(name)) return true;
    if (nx_slice_ieq(name, NX_SLICE("location")) && nx_slice_to_cstr(value, a->location, sizeof a->location) != NX_OK)
        return fail(a, NX_ELIMIT, "the answer redirects to a URL that is too long");
    size_t at = a->out->n;
    if (!append(a, name.p, name.n) || !append(a, ": ", 2) || !append(a, value.p, value.n) || !append(a, "\n", 1)) return false;
    for (size_t i = at; i < at + name.n; i++)
        if (a->out->p[i] >= 'A' && a->out->p[i] <= 'Z') a->out->p[i] = (char)(a->out->p[i] + 32);
    return true;
}

bool nx_ob_answer_line(nx_ob_answer *a, nx_slice line)
{
    a->head_bytes += line.n;
    if (a->head_bytes > NX_OUTBOUND_HEAD_BYTES) return fail(a, NX_ELIMIT, "the answer's headers are over the limit");
    if (line.n && line.p[line.n - 1] == '\n') line.n--;
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    if (a->is_head_over && a->status >= 200) return true; /* trailers: nobody asked for them */
    if (nx_slice_starts(line, NX_SLICE("HTTP/"))) return begin_head(a, line);
    if (line.n == 0) return end_head(a);
    return add_field(a, line); /* a folded line (obsolete, RFC 9112 section 5.2) is no field: refused */
}

bool nx_ob_answer_body(nx_ob_answer *a, nx_slice piece)
{
    if (!a->is_head_over) return fail(a, NX_EIO, "the answer has no head");
    if (piece.n > a->max_body_bytes - (a->out->n - a->body_from)) {
        a->err = nx_error_set(&a->detail, NX_ELIMIT, "the answer's body is over %zu bytes", a->max_body_bytes);
        return false;
    }
    return append(a, piece.p, piece.n);
}

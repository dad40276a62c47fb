/* headers.c: the header lines of a message that came, read where they lie.
 *
 * nats.c's own way makes a hash table of them, with two or three allocations a line; every run would pay for it. In its messages (3.4.1,
 * natsMsg_create()) the lines stand between reply and data: subject, NUL, reply, NUL, lines, NUL, data. Into a message without data, or
 * one whose headers were asked of nats.c (give.c), it has put a NUL for the colon of each line and for the end of each value: both forms are
 * read here.
 * tests/unit/event-fabric/test_fab_headers.c keeps this true. */
#include "fab_internal.h"

static const char version[] = "NATS/1.0";

static bool is_end(char c)
{
    return c == '\r' || c == '\n' || !c;
}

/* The text up to the end of the line or value at p, without the blanks around it; p moves to the next line. */
static nx_slice take_value(const char **p, const char *end)
{
    const char *from = *p, *to, *q;

    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    for (to = from; to < end && !is_end(*to);)
        to++;
    q = memchr(to, '\n', (size_t)(end - to));
    *p = q ? q + 1 : end;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return nx_slice_make(from, (size_t)(to - from));
}

void nx_fab_lines_of(natsMsg *m, nx_fab_lines *ret)
{
    const char *before = natsMsg_GetReply(m), *p, *data = natsMsg_GetData(m);

    *ret = (nx_fab_lines){0};
    if (!before)
        before = natsMsg_GetSubject(m);
    p = before + strlen(before) + 1;
    if (!data || data - p < (ptrdiff_t)sizeof version || memcmp(p, version, sizeof version - 1) != 0)
        return;
    ret->p = p + sizeof version - 1;
    ret->end = data - 1;
    ret->status = take_value(&ret->p, ret->end);
}

bool nx_fab_lines_next(nx_fab_lines *l, nx_slice *ret_key, nx_slice *ret_value)
{
    while (l->p < l->end && !is_end(*l->p)) {
        const char *p = l->p, *colon = p;

        while (colon < l->end && *colon != ':' && !is_end(*colon))
            colon++;
        if (colon == l->end || *colon == '\r' || *colon == '\n') { /* no header line */
            (void)take_value(&l->p, l->end);
            continue;
        }
        *ret_key = nx_slice_make(p, (size_t)(colon - p));
        l->p = colon + 1;
        *ret_value = take_value(&l->p, l->end);
        return true;
    }
    return false;
}

bool nx_fab_msg_header(natsMsg *m, const char *key, nx_slice *ret)
{
    nx_slice name = nx_slice_cstr(key), k, v;
    nx_fab_lines l;

    for (nx_fab_lines_of(m, &l); nx_fab_lines_next(&l, &k, &v);)
        if (nx_slice_eq(k, name)) {
            *ret = v;
            return true;
        }
    return false;
}

bool nx_fab_msg_status(natsMsg *m, nx_slice *ret_status, nx_slice *ret_text)
{
    nx_fab_lines l;
    size_t n = 0;

    nx_fab_lines_of(m, &l);
    if (natsMsg_GetDataLength(m))
        l.status = NX_SLICE_NULL;
    while (n < l.status.n && l.status.p[n] != ' ')
        n++;
    *ret_status = nx_slice_sub(l.status, 0, n);
    while (n < l.status.n && l.status.p[n] == ' ')
        n++;
    if (ret_text)
        *ret_text = nx_slice_sub(l.status, n, l.status.n);
    return ret_status->n > 0;
}

/* What the fabric reads from the wire or makes of strangers' names: acknowledgements, delivery subjects, types, subjects, header values.
 * First byte: which; the rest is the input (two inputs are separated by a newline). */
#include "fab_internal.h"
#include <stdlib.h>

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

static void type_round_trip(nx_slice in)
{
    char tokens[4096], back[4096];
    size_t n, m;

    if (nx_fab_type_encode(in, tokens, sizeof tokens, &n))
        return;
    CHECK(nx_fab_subject_is_valid(nx_slice_make(tokens, n), false) || n >= NX_FAB_SUBJECT_BYTES);
    CHECK(!nx_fab_type_decode(nx_slice_make(tokens, n), back, sizeof back, &m));
    CHECK(m == in.n && (!m || !memcmp(back, in.p, m)));
}

static void decode_is_canonical(nx_slice in)
{
    char type[4096], tokens[16384];
    size_t n, m;

    if (nx_fab_type_decode(in, type, sizeof type, &n))
        return;
    CHECK(!nx_fab_type_encode(nx_slice_make(type, n), tokens, sizeof tokens, &m));
    CHECK(m == in.n && !memcmp(tokens, in.p, m));
}

static void reduce(nx_slice in)
{
    char *v[8];
    nx_slice all[8], rest = in;
    unsigned n = 0, m;
    bool loose;

    while (rest.n && n < 8) {
        nx_slice one = nx_slice_split(rest, '\n', &rest);

        if (nx_fab_subject_is_valid(one, true)) {
            all[n] = one;
            v[n++] = nx_slice_strdup(one);
        }
    }
    m = nx_fab_filters_reduce(v, n, &loose);
    for (unsigned i = 0; i < n; i++) { /* everything asked for is still covered */
        bool covered = false;

        for (unsigned k = 0; k < m; k++)
            covered |= nx_fab_subject_covers(nx_slice_cstr(v[k]), all[i]);
        CHECK(covered);
    }
    for (unsigned i = 0; i < m; i++)
        for (unsigned k = i + 1; k < m; k++)
            CHECK(!nx_fab_subject_overlaps(nx_slice_cstr(v[i]), nx_slice_cstr(v[k])));
    for (unsigned i = 0; i < m; i++)
        free(v[i]);
}

static void headers(nx_slice in)
{
    char text[8192];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_slice key, value, rest;
    nx_slice first = nx_slice_split(in, '\n', &rest);

    nx_fab_hdr_add_encoded(&h, "ce-a", first);
    nx_fab_hdr_add_encoded(&h, "ce-b", rest);
    nx_fab_hdr_add(&h, "ce-c", first);
    if (!nx_fab_hdr_split(&h, &key, &value))
        return;
    for (size_t i = 0; i < key.n; i++) /* line ends only where a line of ours follows */
        CHECK(key.p[i] && (key.p[i] != '\r' || !strncmp(key.p + i, "\r\nce-", 5)) && (key.p[i] != '\n' || (i && key.p[i - 1] == '\r')));
    CHECK(!memchr(value.p, '\n', value.n) && !memchr(value.p, '\r', value.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_slice in = nx_slice_make(data + 1, size ? size - 1 : 0);
    nx_fab_ack ack;
    nx_fab_meta meta;
    char *text;

    if (!size || size > 2000)
        return 0;
    switch (data[0] % 6) {
    case 0: nx_fab_ack_parse(in, &ack); break;
    case 1:
        text = nx_slice_strdup(in);
        if (text && nx_fab_meta_parse(text, &meta))
            CHECK(meta.stream_consumer.n >= 1);
        free(text);
        break;
    case 2: type_round_trip(in); break;
    case 3: decode_is_canonical(in); break;
    case 4: reduce(in); break;
    default: headers(in); break;
    }
    return 0;
}

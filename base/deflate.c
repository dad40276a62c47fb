/* deflate.c: zlib over whole buffers, in pieces: its lengths have 32 bits. */
#include "nx/deflate.h"
#include <zlib.h>

#define PIECE_BYTES (256u << 10)

static uInt piece_of(size_t n) { return n > PIECE_BYTES ? PIECE_BYTES : (uInt)n; }

/* Lends z up to a piece of out's memory, `most` at most. */
static nx_err lend(z_stream *z, nx_buf *out, size_t most)
{
    uInt n = piece_of(most);
    nx_err err = nx_buf_reserve(out, n);
    if (err) return err;
    z->next_out = (Bytef *)out->p + out->n;
    z->avail_out = n;
    return NX_OK;
}

static void take(z_stream *z, nx_buf *out) { out->n = (size_t)((char *)z->next_out - out->p); }

static void feed(z_stream *z, nx_slice *rest)
{
    if (z->avail_in || !rest->n) return;
    uInt n = piece_of(rest->n);
    z->next_in = (z_const Bytef *)rest->p;
    z->avail_in = n;
    *rest = nx_slice_sub(*rest, n, rest->n);
}

nx_err nx_deflate(nx_slice in, nx_buf *out)
{
    size_t before = out->n;
    z_stream z = {0};
    if (deflateInit(&z, Z_BEST_COMPRESSION) != Z_OK) return NX_ENOMEM;
    nx_err err = NX_OK;
    for (int rc = Z_OK; !err && rc != Z_STREAM_END;) {
        feed(&z, &in);
        size_t room = out->max - out->n;
        err = room ? lend(&z, out, room) : NX_ELIMIT;
        if (err) break;
        rc = deflate(&z, in.n ? Z_NO_FLUSH : Z_FINISH);
        take(&z, out);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) err = NX_ENOMEM;
    }
    (void)deflateEnd(&z);
    if (err) out->n = before;
    return err;
}

nx_err nx_inflate(nx_slice in, size_t whole_bytes, nx_buf *out)
{
    size_t before = out->n;
    if (whole_bytes > out->max - out->n) return NX_ELIMIT;
    z_stream z = {0};
    if (inflateInit(&z) != Z_OK) return NX_ENOMEM;
    nx_err err = NX_OK;
    int rc = Z_OK;
    char beyond; /* a stream that has more to give than was promised shows it here */
    while (!err && rc != Z_STREAM_END) {
        feed(&z, &in);
        size_t left = whole_bytes - (out->n - before);
        if (left) {
            err = lend(&z, out, left);
            if (err) break;
        } else {
            z.next_out = (Bytef *)&beyond;
            z.avail_out = 1;
        }
        uInt had = z.avail_in;
        rc = inflate(&z, Z_NO_FLUSH);
        bool has_given = left ? (char *)z.next_out != out->p + out->n : z.avail_out == 0;
        if (left) take(&z, out);
        if (rc == Z_MEM_ERROR) err = NX_ENOMEM;
        else if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) err = NX_ECORRUPT;
        else if (!left && has_given) err = NX_ECORRUPT;
        else if (rc != Z_STREAM_END && !has_given && z.avail_in == had && !in.n) err = NX_ECORRUPT; /* cut short */
    }
    if (!err && (out->n - before != whole_bytes || z.avail_in || in.n)) err = NX_ECORRUPT;
    (void)inflateEnd(&z);
    if (err) out->n = before;
    return err;
}

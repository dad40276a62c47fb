/* bundle.c: the container: sections with digests, and a seal over everything. docs/BUNDLE.md describes every byte; a unit test compares the two. */
#include "nx/bundle.h"
#include "bundle_parts.h"
#include "nx/deflate.h"

#define MARK_BYTES 4u
#define HEAD_BYTES (1u + 1u + 8u + 8u + NX_SHA256_BYTES) /* tag, codec, whole bytes, stored bytes, SHA-256 of the whole */
#define SEAL_BYTES (1u + NX_SHA256_BYTES)
#define SQUEEZE_BYTES 512u /* smaller sections are stored as they are */

/* Tags are never given a second meaning. */
enum {
    TAG_SEAL = 0,
    TAG_MANIFEST = 1,
    TAG_EVENT = 2,
    TAG_DATA = 3,
    TAG_RECORDING = 4,
    TAG_ARTIFACT = 5,
    TAG_SETTINGS = 6,
    N_TAGS
};
enum { CODEC_STORED = 0,
       CODEC_ZLIB = 1 };

static const struct {
    const char *name;
    size_t max_bytes;
    bool is_required;
} kinds[N_TAGS] = {
    [TAG_MANIFEST] = {"manifest", 64u << 10, true},
    [TAG_EVENT] = {"event", 512u << 10, true},
    [TAG_DATA] = {"data", 16u << 20, false},
    [TAG_RECORDING] = {"recording", 128u << 20, true},
    [TAG_ARTIFACT] = {"artifact", 64u << 20, true},
    [TAG_SETTINGS] = {"settings", 256u << 10, false},
};

/* ---- what belongs together ------------------------------------------------------------------------------------------------------------------ */

static nx_err check_whole(const nx_bundle *b, nx_err code, nx_error *reterr)
{
    nx_sha256 named, is = nx_sha256_of(b->artifact);
    if (memcmp(b->event.event_id.s, b->run.event_id.s, NX_ID_LEN) != 0)
        return nx_error_set(reterr, code, "bundle: the recording is of event %s, not of %s", b->run.event_id.s, b->event.event_id.s);
    if (nx_sha256_parse_hex(b->run.artifact, &named) != NX_OK || memcmp(&named, &is, sizeof is) != 0)
        return nx_error_set(reterr, code, "bundle: the artifact is not the one that the recording names");
    return NX_OK;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------------------- */

static void put_u64(char *to, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (char)(v >> (8 * i));
}

static nx_err append_section(nx_buf *out, int tag, nx_slice whole, nx_error *reterr)
{
    if (whole.n > kinds[tag].max_bytes)
        return nx_error_set(reterr, NX_ELIMIT, "bundle: %s has %zu bytes; at most %zu fit", kinds[tag].name, whole.n, kinds[tag].max_bytes);
    NX_CLEANUP(nx_buf_done)
    nx_buf small = NX_BUF_INIT(whole.n); /* what does not get smaller is stored as it is */
    nx_err err = whole.n >= SQUEEZE_BYTES ? nx_deflate(whole, &small) : NX_ELIMIT;
    bool is_small = err == NX_OK;
    if (err != NX_OK && err != NX_ELIMIT)
        return nx_error_set(reterr, err, "bundle: %s", nx_err_text(err));
    nx_slice stored = is_small ? nx_buf_view(&small) : whole;
    nx_sha256 digest = nx_sha256_of(whole);
    char head[HEAD_BYTES];
    head[0] = (char)tag;
    head[1] = is_small ? CODEC_ZLIB : CODEC_STORED;
    put_u64(head + 2, whole.n);
    put_u64(head + 10, stored.n);
    memcpy(head + 18, digest.b, sizeof digest.b);
    err = nx_buf_append(out, head, sizeof head);
    if (err == NX_OK)
        err = nx_buf_append_slice(out, stored);
    return err == NX_OK ? NX_OK : nx_error_set(reterr, err, "bundle: more than %zu bytes", out->max);
}

static nx_err append_json(nx_buf *out, int tag, nx_err written, const nx_buf *json, nx_error *reterr)
{
    if (written != NX_OK)
        return nx_error_set(reterr, written, "bundle: %s: %s", kinds[tag].name, nx_err_text(written));
    return append_section(out, tag, nx_buf_view(json), reterr);
}

nx_err nx_bundle_encode(const nx_bundle *b, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf part = NX_BUF_INIT(kinds[TAG_RECORDING].max_bytes);
    size_t start = out->n;
    nx_err err = check_whole(b, NX_EINVAL, reterr);
    if (err == NX_OK && (err = nx_buf_append_cstr(out, NX_BUNDLE_MARK)) != NX_OK)
        nx_error_set(reterr, err, "bundle: %s", nx_err_text(err));
    if (err == NX_OK)
        err = append_json(out, TAG_MANIFEST, nx_bundle_manifest_write(b, &part), &part, reterr);
    nx_buf_clear(&part);
    if (err == NX_OK)
        err = append_json(out, TAG_EVENT, nx_bundle_event_write(&b->event, &part), &part, reterr);
    if (err == NX_OK && b->event.data.n)
        err = append_section(out, TAG_DATA, b->event.data, reterr);
    nx_buf_clear(&part);
    if (err == NX_OK)
        err = append_json(out, TAG_RECORDING, nx_run_encode(&b->run, &part), &part, reterr);
    if (err == NX_OK)
        err = append_section(out, TAG_ARTIFACT, b->artifact, reterr);
    if (err == NX_OK && b->settings.n)
        err = append_section(out, TAG_SETTINGS, b->settings, reterr);
    if (err == NX_OK) {
        nx_sha256 seal = nx_sha256_of(nx_slice_make(out->p + start, out->n - start));
        err = nx_buf_append_char(out, TAG_SEAL);
        if (err == NX_OK)
            err = nx_buf_append(out, seal.b, sizeof seal.b);
    }
    if (err != NX_OK)
        out->n = start;
    return err;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------------------- */

typedef struct reader {
    nx_slice bytes;
    size_t at;
    nx_slice whole[N_TAGS];
    bool has[N_TAGS];
    size_t total;
    nx_arena *a;
    nx_error *reterr;
} reader;

static nx_err corrupt(const reader *r, const char *what)
{
    return nx_error_set(r->reterr, NX_ECORRUPT, "bundle: %s at byte %zu of %zu", what, r->at, r->bytes.n);
}

static uint64_t get_u64(const char *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

/* The bytes of a section as they were, in the arena. */
static nx_err unpack(reader *r, int tag, int codec, nx_slice stored, size_t whole_bytes)
{
    nx_slice whole = stored;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(whole_bytes);
    if (codec == CODEC_ZLIB) {
        nx_err err = nx_inflate(stored, whole_bytes, &b);
        if (err == NX_ENOMEM)
            return nx_error_set(r->reterr, err, "bundle: out of memory");
        if (err != NX_OK)
            return corrupt(r, "a section does not unpack to its length");
        whole = nx_buf_view(&b);
    } else if (codec != CODEC_STORED || stored.n != whole_bytes) {
        return corrupt(r, codec == CODEC_STORED ? "a stored section has two lengths" : "a section is packed in an unknown way");
    }
    r->whole[tag] = nx_arena_dup(r->a, whole);
    return r->whole[tag].p ? NX_OK : nx_error_set(r->reterr, NX_ENOMEM, "bundle: out of memory");
}

static nx_err read_section(reader *r)
{
    const char *head = r->bytes.p + r->at;
    if (r->bytes.n - r->at < HEAD_BYTES)
        return corrupt(r, "the file ends inside the head of a section");
    unsigned tag = (unsigned char)head[0], codec = (unsigned char)head[1];
    uint64_t whole_bytes = get_u64(head + 2), stored_bytes = get_u64(head + 10);
    if (stored_bytes > r->bytes.n - r->at - HEAD_BYTES)
        return corrupt(r, "a section is longer than what is left");
    nx_slice stored = nx_slice_make(head + HEAD_BYTES, (size_t)stored_bytes);
    if (tag < N_TAGS) {
        if (r->has[tag])
            return corrupt(r, "a section appears twice");
        if (whole_bytes > kinds[tag].max_bytes || whole_bytes > NX_BUNDLE_BYTES_MAX - r->total)
            return corrupt(r, "a section is larger than its bound");
        nx_err err = unpack(r, (int)tag, (int)codec, stored, (size_t)whole_bytes);
        if (err != NX_OK)
            return err;
        nx_sha256 is = nx_sha256_of(r->whole[tag]);
        if (memcmp(is.b, head + 18, sizeof is.b) != 0)
            return corrupt(r, "a section does not have its digest");
        r->has[tag] = true;
        r->total += (size_t)whole_bytes;
    }
    r->at += HEAD_BYTES + (size_t)stored_bytes;
    return NX_OK;
}

static nx_err read_seal(const reader *r)
{
    if (r->bytes.n - r->at != SEAL_BYTES)
        return corrupt(r, r->bytes.n - r->at < SEAL_BYTES ? "the file ends inside its seal" : "something follows the seal");
    nx_sha256 is = nx_sha256_of(nx_slice_make(r->bytes.p, r->at));
    return memcmp(is.b, r->bytes.p + r->at + 1, sizeof is.b) == 0 ? NX_OK : corrupt(r, "the seal is not that of the file: it was changed or damaged");
}

static nx_err read_parts(reader *r, nx_bundle *b)
{
    nx_err err = nx_bundle_manifest_read(r->whole[TAG_MANIFEST], r->a, b, r->reterr);
    if (err == NX_OK)
        err = nx_bundle_event_read(r->whole[TAG_EVENT], r->a, &b->event, r->reterr);
    if (err == NX_OK)
        err = nx_run_decode(r->whole[TAG_RECORDING], r->a, &b->run, r->reterr);
    if (err != NX_OK)
        return err;
    b->event.data = r->whole[TAG_DATA];
    b->artifact = r->whole[TAG_ARTIFACT];
    b->settings = r->whole[TAG_SETTINGS];
    return check_whole(b, NX_ECORRUPT, r->reterr);
}

nx_err nx_bundle_decode(nx_slice bytes, nx_arena *a, nx_bundle *ret, nx_error *reterr)
{
    reader r = {.bytes = bytes, .at = MARK_BYTES, .a = a, .reterr = reterr};
    memset(ret, 0, sizeof *ret);
    if (!nx_bundle_is_one(bytes)) {
        r.at = 0;
        return corrupt(&r, "the mark \"" NX_BUNDLE_MARK "\" is missing: this is no bundle, or one of a later format");
    }
    nx_err err = NX_OK;
    while (err == NX_OK && r.at < bytes.n && bytes.p[r.at] != TAG_SEAL)
        err = read_section(&r);
    if (err == NX_OK)
        err = read_seal(&r);
    for (int tag = 1; err == NX_OK && tag < N_TAGS; tag++)
        if (kinds[tag].is_required && !r.has[tag])
            err = nx_error_set(reterr, NX_ECORRUPT, "bundle: the section \"%s\" is missing", kinds[tag].name);
    if (err == NX_OK)
        err = read_parts(&r, ret);
    if (err != NX_OK)
        memset(ret, 0, sizeof *ret);
    return err;
}

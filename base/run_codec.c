/* run_codec.c: the stored form of a run record. docs/RUN_RECORD.md documents every tag; a unit test compares the two.
 * Writing goes twice over the fields, once to count and once to write, so that the bytes are laid down in one exact piece of memory. */
#include "nx/run.h"

#include <limits.h>

#define MAGIC "NXR1"

/* Values are stored for ever: a tag is never reused. Scalars stand at most once, lists once per element. */
enum {
    TAG_NS = 1,
    TAG_RUN_ID = 2,
    TAG_EVENT_ID = 3,
    TAG_EVENT_TYPE = 4,
    TAG_FUNCTION = 5,
    TAG_VERSION = 6,
    TAG_ARTIFACT = 7,
    TAG_ATTEMPT = 8,
    TAG_GENERATION = 9,
    TAG_STATUS = 10,
    TAG_WHY = 11,
    TAG_EXIT_CODE = 12,
    TAG_MESSAGE = 13,
    TAG_BACKTRACE = 14,
    TAG_FLAGS = 15,
    TAG_REPLAY_OF = 16,
    TAG_ORIGINAL_WALL_NS = 17,
    TAG_START_WALL_NS = 18,
    TAG_DURATION_NS = 19,
    TAG_FUEL = 20,
    TAG_MEMORY_BYTES = 21,
    TAG_TRACE_ID = 22,
    TAG_SPAN_ID = 23,
    TAG_TRACE_FLAGS = 24,
    TAG_PARENT_SPAN = 25,
    TAG_OUTPUT = 26,
    TAG_OUTPUT_BYTES = 27,
    TAG_OUTPUT_SHA256 = 28,
    TAG_LOGS = 29,
    TAG_LOGS_BYTES = 30,
    TAG_LOGS_SHA256 = 31,
    TAG_SEED = 32,
    TAG_LIMIT_TIMEOUT_NS = 33,
    TAG_LIMIT_MEMORY_BYTES = 34,
    TAG_LIMIT_FUEL = 35,
    TAG_LIMIT_OUTPUT_BYTES = 36,
    TAG_CALLS_SHA256 = 37,
    TAG_N_CALLS = 38,
    TAG_CALLS = 39,
    TAG_ENGINE = 40,
    TAG_WORLD = 41,
    TAG_ARCH = 42,
    TAG_NODE = 43,
    TAG_EVENT_SEQ = 44,
    TAG_DELIVERY = 45,
    TAG_MAX_ATTEMPTS = 46,
    TAG_AFTER = 47,
    TAG_NEXT_WALL_NS = 48,
    TAG_CALL_MARKS = 50,
    TAG_PRIVACY = 52,
    TAG_REDACTED = 53,
    TAG_BATCH = 54,
    TAG_LIMIT_SCRATCH_BYTES = 58,
    TAG_ENV = 64,
    TAG_EMITTED = 66,
    TAG_EFFECT = 67,
    TAG_EMITTED_SHA256 = 68,
    TAG_SECRET_ENV = 72,
};

enum { FLAG_REPLAY = 1,
       FLAG_FINAL = 2,
       FLAG_COLD = 4,
       FLAG_INPUT_CLOUDEVENT = 8,
       FLAG_BATCHES = 16 };

/* Two bits of the mode, then: */
enum { PRIVACY_MODE = 3,
       PRIVACY_EFFECT_HIDDEN = 4,
       PRIVACY_ENV_HIDDEN = 8 };

/* ---- writing ---- */

typedef struct enc {
    char *p; /* NULL: only count */
    size_t n;
} enc;

static void put(enc *e, const void *p, size_t n)
{
    if (e->p && n) memcpy(e->p + e->n, p, n);
    e->n += n;
}

/* Nearly all tags and lengths have one byte. */
static inline void put_uvarint(enc *e, uint64_t v)
{
    if (v < 0x80) {
        if (e->p) e->p[e->n] = (char)v;
        e->n++;
        return;
    }
    unsigned char tmp[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) tmp[n++] = (unsigned char)(v | 0x80);
    tmp[n++] = (unsigned char)v;
    put(e, tmp, n);
}

static size_t uvarint_bytes(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7) n++;
    return n;
}

static void put_bytes(enc *e, unsigned tag, const void *p, size_t n)
{
    if (n == 0) return; /* absent reads as empty */
    put_uvarint(e, tag);
    put_uvarint(e, n);
    put(e, p, n);
}

static void put_slice(enc *e, unsigned tag, nx_slice s) { put_bytes(e, tag, s.p, s.n); }
static void put_text(enc *e, unsigned tag, const char *s) { put_bytes(e, tag, s, strlen(s)); }

static void put_u64(enc *e, unsigned tag, uint64_t v)
{
    if (v == 0) return; /* absent reads as 0 */
    put_uvarint(e, tag);
    put_uvarint(e, 8);
    if (e->p)
        for (unsigned i = 0; i < 8; i++) e->p[e->n + i] = (char)(v >> (8 * i));
    e->n += 8;
}

static void put_digest(enc *e, unsigned tag, const uint8_t d[32])
{
    static const uint8_t zero[32];
    if (memcmp(d, zero, sizeof zero) != 0) put_bytes(e, tag, d, sizeof zero);
}

static void put_pair(enc *e, unsigned tag, const nx_kv *kv)
{
    put_uvarint(e, tag);
    put_uvarint(e, uvarint_bytes(kv->key.n) + kv->key.n + kv->value.n);
    put_uvarint(e, kv->key.n);
    put(e, kv->key.p, kv->key.n);
    put(e, kv->value.p, kv->value.n);
}

static void put_lists(enc *e, const nx_run *r)
{
    for (unsigned i = 0; i < r->n_env; i++) put_pair(e, TAG_ENV, &r->env[i]);
    for (unsigned i = 0; i < r->n_secret_env; i++) put_pair(e, TAG_SECRET_ENV, &r->secret_env[i]);
    for (unsigned i = 0; i < r->n_effects; i++) {
        const nx_effect *f = &r->effects[i];
        put_uvarint(e, TAG_EFFECT);
        put_uvarint(e, sizeof f->request.b + uvarint_bytes(f->status) + uvarint_bytes(f->clock_ns) + uvarint_bytes(f->name.n) + f->name.n + f->answer.n);
        put(e, f->request.b, sizeof f->request.b);
        put_uvarint(e, f->status);
        put_uvarint(e, f->clock_ns);
        put_uvarint(e, f->name.n);
        put(e, f->name.p, f->name.n);
        put(e, f->answer.p, f->answer.n);
    }
    for (unsigned i = 0; i < r->n_emitted; i++) {
        put_uvarint(e, TAG_EMITTED);
        put_uvarint(e, NX_ID_LEN + r->emitted[i].type.n);
        put(e, r->emitted[i].event_id.s, NX_ID_LEN);
        put(e, r->emitted[i].type.p, r->emitted[i].type.n);
    }
    for (unsigned i = 0; i < r->n_emitted; i++) put_bytes(e, TAG_EMITTED_SHA256, r->emitted[i].digest.b, sizeof r->emitted[i].digest.b);
}

static void put_run(enc *e, const nx_run *r)
{
    uint64_t flags = (r->is_replay ? FLAG_REPLAY : 0u) | (r->is_final ? FLAG_FINAL : 0u) | (r->is_cold ? FLAG_COLD : 0u) |
                     (r->input_is_cloudevent ? FLAG_INPUT_CLOUDEVENT : 0u) | (r->takes_batches ? FLAG_BATCHES : 0u);
    put(e, MAGIC, 4);
    put_slice(e, TAG_NS, r->ns);
    put_slice(e, TAG_RUN_ID, nx_id_slice(&r->run_id));
    put_slice(e, TAG_EVENT_ID, nx_id_slice(&r->event_id));
    put_slice(e, TAG_EVENT_TYPE, r->event_type);
    put_slice(e, TAG_FUNCTION, r->function);
    put_slice(e, TAG_VERSION, r->version);
    put_slice(e, TAG_ARTIFACT, r->artifact);
    put_u64(e, TAG_ATTEMPT, r->attempt);
    put_u64(e, TAG_GENERATION, r->generation);
    put_u64(e, TAG_STATUS, (uint64_t)r->status);
    put_u64(e, TAG_WHY, (uint64_t)r->why);
    put_u64(e, TAG_EXIT_CODE, (uint64_t)(int64_t)r->exit_code);
    put_slice(e, TAG_MESSAGE, r->message);
    put_slice(e, TAG_BACKTRACE, r->backtrace);
    put_u64(e, TAG_FLAGS, flags);
    put_slice(e, TAG_REPLAY_OF, r->replay_of);
    put_u64(e, TAG_ORIGINAL_WALL_NS, r->original_wall_ns);
    put_u64(e, TAG_START_WALL_NS, r->start_wall_ns);
    put_u64(e, TAG_DURATION_NS, r->duration_ns);
    put_u64(e, TAG_FUEL, r->fuel);
    put_u64(e, TAG_MEMORY_BYTES, r->memory_bytes);
    put_text(e, TAG_TRACE_ID, r->trace.trace_id);
    put_text(e, TAG_SPAN_ID, r->trace.span_id);
    put_u64(e, TAG_TRACE_FLAGS, r->trace.flags);
    put_slice(e, TAG_PARENT_SPAN, r->parent_span);
    put_slice(e, TAG_OUTPUT, r->output);
    put_u64(e, TAG_OUTPUT_BYTES, r->output_bytes);
    put_digest(e, TAG_OUTPUT_SHA256, r->output_sha256.b);
    put_slice(e, TAG_LOGS, r->logs);
    put_u64(e, TAG_LOGS_BYTES, r->logs_bytes);
    put_digest(e, TAG_LOGS_SHA256, r->logs_sha256.b);
    put_digest(e, TAG_SEED, r->seed);
    put_u64(e, TAG_LIMIT_TIMEOUT_NS, r->limit_timeout_ns);
    put_u64(e, TAG_LIMIT_MEMORY_BYTES, r->limit_memory_bytes);
    put_u64(e, TAG_LIMIT_FUEL, r->limit_fuel);
    put_u64(e, TAG_LIMIT_OUTPUT_BYTES, r->limit_output_bytes);
    put_u64(e, TAG_LIMIT_SCRATCH_BYTES, r->limit_scratch_bytes);
    put_digest(e, TAG_CALLS_SHA256, r->calls_sha256.b);
    put_u64(e, TAG_N_CALLS, r->n_calls);
    put_slice(e, TAG_CALLS, r->calls);
    put_slice(e, TAG_CALL_MARKS, r->call_marks);
    put_slice(e, TAG_ENGINE, r->engine);
    put_slice(e, TAG_WORLD, r->world);
    put_slice(e, TAG_ARCH, r->arch);
    put_slice(e, TAG_NODE, r->node);
    put_u64(e, TAG_EVENT_SEQ, r->event_seq);
    put_u64(e, TAG_DELIVERY, r->delivery);
    put_u64(e, TAG_MAX_ATTEMPTS, r->max_attempts);
    put_u64(e, TAG_AFTER, (uint64_t)r->after);
    put_u64(e, TAG_NEXT_WALL_NS, r->next_wall_ns);
    put_u64(e, TAG_PRIVACY, (uint64_t)r->recording | (r->is_effect_hidden ? PRIVACY_EFFECT_HIDDEN : 0u) | (r->is_env_hidden ? PRIVACY_ENV_HIDDEN : 0u));
    put_slice(e, TAG_REDACTED, r->redacted);
    put_slice(e, TAG_BATCH, r->batch);
    put_lists(e, r);
}

nx_err nx_run_encode(const nx_run *r, nx_buf *out)
{
    if (r->n_env > NX_RUN_ENV_MAX || r->n_effects > NX_RUN_EFFECTS_MAX || r->n_emitted > NX_RUN_EMITTED_MAX || r->n_secret_env > NX_RUN_ENV_MAX)
        return NX_ELIMIT;
    if (!r->run_id.s[0] || !r->event_id.s[0] || !r->function.n || r->output.n > r->output_bytes || r->logs.n > r->logs_bytes) return NX_EINVAL;
    enc e = {NULL, 0};
    put_run(&e, r);
    nx_err err = nx_buf_reserve(out, e.n);
    if (err) return err;
    e = (enc){out->p + out->n, 0};
    put_run(&e, r);
    out->n += e.n;
    return NX_OK;
}

/* ---- reading ---- */

typedef struct dec {
    const char *start, *p, *end;
    nx_arena *a;
    nx_run *r;
    nx_error *reterr;
    uint64_t seen; /* bit per scalar tag */
    uint64_t flags, status, why, exit_code, attempt, generation, trace_flags, max_attempts, after, privacy;
    size_t emitted_max, n_digests; /* of r->emitted */
} dec;

static nx_err corrupt(const dec *d, const char *what)
{
    return nx_error_set(d->reterr, NX_ECORRUPT, "run record: %s at byte %zu of %zu", what, (size_t)(d->p - d->start), (size_t)(d->end - d->start));
}

/* Shortest form only, so that one record has one encoding. */
static inline bool get_uvarint(const char **p, const char *end, uint64_t *ret)
{
    if (*p < end && (unsigned char)**p < 0x80) {
        *ret = (unsigned char)*(*p)++;
        return true;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        unsigned char c = (unsigned char)*(*p)++;
        if (shift == 63 && c > 1) return false;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *ret = v;
            return c != 0 || shift == 0;
        }
    }
    return false;
}

/* The next field. False: the end, or damage (then *ret_err is set). */
static bool next_field(dec *d, uint64_t *ret_tag, nx_slice *ret_value, nx_err *ret_err)
{
    if (d->p == d->end) return false;
    uint64_t n;
    const char *p = d->p;
    if (!get_uvarint(&p, d->end, ret_tag) || !get_uvarint(&p, d->end, &n)) {
        *ret_err = corrupt(d, "a tag or length is damaged");
        return false;
    }
    if (n > (uint64_t)(d->end - p)) {
        *ret_err = corrupt(d, "a field is longer than what is left");
        return false;
    }
    *ret_value = nx_slice_make(p, (size_t)n);
    d->p = p + n;
    return true;
}

static nx_slice *slice_field(nx_run *r, uint64_t tag)
{
    switch (tag) {
    case TAG_NS: return &r->ns;
    case TAG_EVENT_TYPE: return &r->event_type;
    case TAG_FUNCTION: return &r->function;
    case TAG_VERSION: return &r->version;
    case TAG_ARTIFACT: return &r->artifact;
    case TAG_MESSAGE: return &r->message;
    case TAG_BACKTRACE: return &r->backtrace;
    case TAG_REPLAY_OF: return &r->replay_of;
    case TAG_REDACTED: return &r->redacted;
    case TAG_BATCH: return &r->batch;
    case TAG_PARENT_SPAN: return &r->parent_span;
    case TAG_OUTPUT: return &r->output;
    case TAG_LOGS: return &r->logs;
    case TAG_CALLS: return &r->calls;
    case TAG_CALL_MARKS: return &r->call_marks;
    case TAG_ENGINE: return &r->engine;
    case TAG_WORLD: return &r->world;
    case TAG_ARCH: return &r->arch;
    case TAG_NODE: return &r->node;
    default: return NULL;
    }
}

static uint64_t *u64_field(dec *d, uint64_t tag)
{
    nx_run *r = d->r;
    switch (tag) {
    case TAG_ATTEMPT: return &d->attempt;
    case TAG_GENERATION: return &d->generation;
    case TAG_STATUS: return &d->status;
    case TAG_WHY: return &d->why;
    case TAG_EXIT_CODE: return &d->exit_code;
    case TAG_FLAGS: return &d->flags;
    case TAG_TRACE_FLAGS: return &d->trace_flags;
    case TAG_PRIVACY: return &d->privacy;
    case TAG_ORIGINAL_WALL_NS: return &r->original_wall_ns;
    case TAG_START_WALL_NS: return &r->start_wall_ns;
    case TAG_DURATION_NS: return &r->duration_ns;
    case TAG_FUEL: return &r->fuel;
    case TAG_MEMORY_BYTES: return &r->memory_bytes;
    case TAG_OUTPUT_BYTES: return &r->output_bytes;
    case TAG_LOGS_BYTES: return &r->logs_bytes;
    case TAG_LIMIT_TIMEOUT_NS: return &r->limit_timeout_ns;
    case TAG_LIMIT_MEMORY_BYTES: return &r->limit_memory_bytes;
    case TAG_LIMIT_FUEL: return &r->limit_fuel;
    case TAG_LIMIT_OUTPUT_BYTES: return &r->limit_output_bytes;
    case TAG_LIMIT_SCRATCH_BYTES: return &r->limit_scratch_bytes;
    case TAG_N_CALLS: return &r->n_calls;
    case TAG_EVENT_SEQ: return &r->event_seq;
    case TAG_DELIVERY: return &r->delivery;
    case TAG_MAX_ATTEMPTS: return &d->max_attempts;
    case TAG_AFTER: return &d->after;
    case TAG_NEXT_WALL_NS: return &r->next_wall_ns;
    default: return NULL;
    }
}

static uint8_t *digest_field(nx_run *r, uint64_t tag)
{
    switch (tag) {
    case TAG_OUTPUT_SHA256: return r->output_sha256.b;
    case TAG_LOGS_SHA256: return r->logs_sha256.b;
    case TAG_CALLS_SHA256: return r->calls_sha256.b;
    case TAG_SEED: return r->seed;
    default: return NULL;
    }
}

static bool is_lower_hex(nx_slice s, size_t digits)
{
    if (s.n != digits) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f'))) return false;
    return true;
}

static nx_err read_text(dec *d, uint64_t tag, nx_slice v)
{
    bool is_good = true;
    switch (tag) {
    case TAG_RUN_ID: is_good = nx_id_parse(v, &d->r->run_id) == NX_OK; break;
    case TAG_EVENT_ID: is_good = nx_id_parse(v, &d->r->event_id) == NX_OK; break;
    case TAG_TRACE_ID:
        is_good = is_lower_hex(v, NX_TRACE_ID_HEX);
        if (is_good) memcpy(d->r->trace.trace_id, v.p, v.n);
        break;
    case TAG_SPAN_ID:
        is_good = is_lower_hex(v, NX_SPAN_ID_HEX);
        if (is_good) memcpy(d->r->trace.span_id, v.p, v.n);
        break;
    default: break; /* a tag of a later version */
    }
    return is_good ? NX_OK : corrupt(d, "an id is malformed");
}

static nx_err read_scalar(dec *d, uint64_t tag, nx_slice v)
{
    if (tag < 64) {
        if (d->seen & (1ull << tag)) return corrupt(d, "a field appears twice");
        d->seen |= 1ull << tag;
    }
    nx_slice *s = slice_field(d->r, tag);
    if (s) {
        *s = v;
        return NX_OK;
    }
    uint64_t *u = u64_field(d, tag);
    if (u) {
        if (v.n != 8) return corrupt(d, "an integer does not have 8 bytes");
        uint64_t x = 0;
        for (unsigned i = 0; i < 8; i++) x |= (uint64_t)(unsigned char)v.p[i] << (8 * i);
        *u = x;
        return NX_OK;
    }
    uint8_t *digest = digest_field(d->r, tag);
    if (digest) {
        if (v.n != NX_SHA256_BYTES) return corrupt(d, "a digest does not have 32 bytes");
        memcpy(digest, v.p, NX_SHA256_BYTES);
        return NX_OK;
    }
    return read_text(d, tag, v);
}

static bool split_counted(nx_slice v, nx_slice *ret_first, nx_slice *ret_rest)
{
    uint64_t n;
    const char *p = v.p, *end = v.p + v.n;
    if (!get_uvarint(&p, end, &n) || n > (uint64_t)(end - p)) return false;
    *ret_first = nx_slice_make(p, (size_t)n);
    *ret_rest = nx_slice_make(p + n, (size_t)(end - p) - (size_t)n);
    return true;
}

/* At the first element of a list: counts it and those that follow, so that their array is allocated once, in its size. *ret_n: 0 where none follows. */
static nx_err allocate_list(dec *d, uint64_t first_tag, uint64_t list_tag, size_t max, size_t element_bytes, void **ret, size_t *ret_n)
{
    dec ahead = *d;
    size_t n = first_tag == list_tag;
    uint64_t tag;
    nx_slice v;
    nx_err err = NX_OK;
    while (next_field(&ahead, &tag, &v, &err)) n += tag == list_tag;
    if (err) return err;
    if (n > max) return corrupt(d, list_tag == TAG_EFFECT ? "too many effects" : list_tag == TAG_SECRET_ENV ? "too many variables of secrets"
                                                                                                            : "too many emitted events");
    *ret_n = n;
    *ret = n ? nx_arena_calloc(d->a, n, element_bytes) : NULL;
    return *ret || !n ? NX_OK : nx_error_set(d->reterr, NX_ENOMEM, "run record: out of memory for a list of %zu", n);
}

static nx_err read_env(dec *d, nx_slice v)
{
    nx_run *r = d->r;
    if (r->n_env == NX_RUN_ENV_MAX) return corrupt(d, "too many environment variables");
    nx_kv *kv = &r->env[r->n_env];
    if (!split_counted(v, &kv->key, &kv->value)) return corrupt(d, "an environment variable is damaged");
    r->n_env++;
    return NX_OK;
}

static nx_err read_secret_env(dec *d, nx_slice v)
{
    nx_run *r = d->r;
    void *list = r->secret_env;
    size_t n;
    nx_err err = list ? NX_OK : allocate_list(d, TAG_SECRET_ENV, TAG_SECRET_ENV, NX_RUN_ENV_MAX, sizeof *r->secret_env, &list, &n);
    if (err) return err;
    r->secret_env = list;
    nx_kv *kv = &r->secret_env[r->n_secret_env];
    if (!split_counted(v, &kv->key, &kv->value)) return corrupt(d, "a variable of a secret is damaged");
    r->n_secret_env++;
    return NX_OK;
}

static nx_err read_effect(dec *d, nx_slice v)
{
    nx_run *r = d->r;
    void *list = r->effects;
    size_t n;
    nx_err err = list ? NX_OK : allocate_list(d, TAG_EFFECT, TAG_EFFECT, NX_RUN_EFFECTS_MAX, sizeof *r->effects, &list, &n);
    if (err) return err;
    r->effects = list;
    nx_effect *f = &r->effects[r->n_effects];
    nx_slice rest = nx_slice_sub(v, sizeof f->request.b, v.n);
    uint64_t status;
    const char *p = rest.p, *end = rest.p + rest.n;
    if (v.n < sizeof f->request.b || !get_uvarint(&p, end, &status) || status > NX_EFFECT_OVER || !get_uvarint(&p, end, &f->clock_ns) ||
        !split_counted(nx_slice_make(p, (size_t)(end - p)), &f->name, &f->answer))
        return corrupt(d, "an effect is damaged");
    memcpy(f->request.b, v.p, sizeof f->request.b);
    f->status = (nx_effect_status)status;
    r->n_effects++;
    return NX_OK;
}

/* An emitted event stands in two lists, which readers of older records need not know both of: what it is, and the digest of what it says. */
static nx_err read_emitted(dec *d, uint64_t tag, nx_slice v)
{
    nx_run *r = d->r;
    void *list = r->emitted;
    nx_err err = list ? NX_OK : allocate_list(d, tag, TAG_EMITTED, NX_RUN_EMITTED_MAX, sizeof *r->emitted, &list, &d->emitted_max);
    if (err) return err;
    r->emitted = list;
    if (tag == TAG_EMITTED_SHA256) {
        if (d->n_digests == d->emitted_max || v.n != NX_SHA256_BYTES) return corrupt(d, "a digest of an emitted event is damaged, or one too many");
        memcpy(r->emitted[d->n_digests++].digest.b, v.p, NX_SHA256_BYTES);
        return NX_OK;
    }
    nx_emitted *m = &r->emitted[r->n_emitted];
    if (nx_id_parse(nx_slice_sub(v, 0, NX_ID_LEN), &m->event_id) != NX_OK) return corrupt(d, "an emitted event is damaged");
    m->type = nx_slice_sub(v, NX_ID_LEN, v.n);
    r->n_emitted++;
    return NX_OK;
}

static nx_err read_field(dec *d, uint64_t tag, nx_slice v)
{
    switch (tag) {
    case TAG_ENV: return read_env(d, v);
    case TAG_EFFECT: return read_effect(d, v);
    case TAG_SECRET_ENV: return read_secret_env(d, v);
    case TAG_EMITTED:
    case TAG_EMITTED_SHA256: return read_emitted(d, tag, v);
    default: return read_scalar(d, tag, v);
    }
}

static nx_err finish(dec *d)
{
    nx_run *r = d->r;
    if (!r->run_id.s[0] || !r->event_id.s[0] || !r->function.n) return corrupt(d, "run id, event id or function is missing");
    if (d->status > NX_RUN_BATCHED || d->why > NX_WHY_SUPERSEDED) return corrupt(d, "status or reason is unknown");
    if (d->after > NX_AFTER_PAUSE) return corrupt(d, "what follows the last attempt is unknown");
    if (d->attempt > UINT_MAX || d->max_attempts > UINT_MAX || d->generation > UINT_MAX || d->trace_flags > 255) return corrupt(d, "a number is out of range");
    int64_t exit_code = (int64_t)d->exit_code;
    if (exit_code < INT_MIN || exit_code > INT_MAX) return corrupt(d, "the exit code is out of range");
    if (r->output.n > r->output_bytes || r->logs.n > r->logs_bytes) return corrupt(d, "output or logs are longer than their recorded length");
    if (d->privacy > (PRIVACY_ENV_HIDDEN | PRIVACY_EFFECT_HIDDEN | NX_RECORDING_OFF) || (d->privacy & PRIVACY_MODE) > NX_RECORDING_OFF)
        return corrupt(d, "what was left out is unknown");
    r->recording = (nx_recording)(d->privacy & PRIVACY_MODE);
    r->is_effect_hidden = d->privacy & PRIVACY_EFFECT_HIDDEN;
    r->is_env_hidden = d->privacy & PRIVACY_ENV_HIDDEN;
    r->status = (nx_run_status)d->status;
    r->why = (nx_run_why)d->why;
    r->exit_code = (int)exit_code;
    r->attempt = (unsigned)d->attempt;
    r->generation = (unsigned)d->generation;
    r->max_attempts = (unsigned)d->max_attempts;
    r->after = (nx_run_after)d->after;
    r->trace.flags = (uint8_t)d->trace_flags;
    r->is_replay = d->flags & FLAG_REPLAY;
    r->is_final = d->flags & FLAG_FINAL;
    r->is_cold = d->flags & FLAG_COLD;
    r->input_is_cloudevent = d->flags & FLAG_INPUT_CLOUDEVENT;
    r->takes_batches = d->flags & FLAG_BATCHES;
    return NX_OK;
}

nx_err nx_run_decode(nx_slice bytes, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    memset(ret, 0, sizeof *ret);
    dec d = {.start = bytes.p, .p = bytes.p, .end = bytes.p ? bytes.p + bytes.n : NULL, .a = a, .r = ret, .reterr = reterr};
    if (!nx_slice_starts(bytes, NX_SLICE(MAGIC))) return corrupt(&d, "the mark \"" MAGIC "\" is missing");
    d.p += 4;
    nx_err err = NX_OK;
    uint64_t tag;
    nx_slice v;
    while (!err && next_field(&d, &tag, &v, &err)) err = read_field(&d, tag, v);
    if (!err) err = finish(&d);
    if (err) memset(ret, 0, sizeof *ret); /* decoded in place, because it is large; nobody may see half of it */
    return err;
}

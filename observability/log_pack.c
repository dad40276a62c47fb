/* log_pack.c: packing log lines. The bytes never leave the process: they have the machine's own byte order and are trusted. */
#include "log_pack.h"

#define CUT_NOTE "\xE2\x80\xA6"
enum { N_SLICES = 8 }; /* component, event, trace, event_id, run_id, function, ns, msg */

typedef struct head {
    uint64_t wall_ns, original_wall_ns;
    uint8_t level, is_replay, n_fields;
    uint32_t lengths[N_SLICES];
} head;

static void slices_of(const nx_log_line *line, nx_slice s[N_SLICES])
{
    const nx_slice all[N_SLICES] = {line->component, line->event, line->trace, line->event_id, line->run_id, line->function, line->ns, line->msg};
    for (unsigned i = 0; i < N_SLICES; i++) s[i] = nx_slice_sub(all[i], 0, i == N_SLICES - 1 ? NX_LOG_PACK_MSG : NX_LOG_PACK_SMALL);
}

static unsigned n_fields_of(const nx_log_line *line) { return line->n_fields < NX_LOG_PACK_FIELDS ? (unsigned)line->n_fields : NX_LOG_PACK_FIELDS; }
static nx_slice field_key(const nx_kv *f) { return nx_slice_sub(f->key, 0, NX_LOG_PACK_SMALL); }
static nx_slice field_value(const nx_kv *f) { return nx_slice_sub(f->value, 0, NX_LOG_PACK_VALUE); }

size_t nx_log_pack_bytes(const nx_log_line *line)
{
    nx_slice s[N_SLICES];
    slices_of(line, s);
    size_t n = sizeof(head);
    for (unsigned i = 0; i < N_SLICES; i++) n += s[i].n;
    for (unsigned i = 0; i < n_fields_of(line); i++) n += 2 * sizeof(uint32_t) + field_key(&line->fields[i]).n + field_value(&line->fields[i]).n;
    return n;
}

static char *put(char *to, const void *p, size_t n)
{
    if (n) memcpy(to, p, n);
    return to + n;
}

void nx_log_pack(const nx_log_line *line, void *to)
{
    nx_slice s[N_SLICES];
    slices_of(line, s);
    head h = {.wall_ns = line->wall_ns,
              .original_wall_ns = line->original_wall_ns,
              .level = (uint8_t)line->level,
              .is_replay = line->is_replay,
              .n_fields = (uint8_t)n_fields_of(line)};
    for (unsigned i = 0; i < N_SLICES; i++) h.lengths[i] = (uint32_t)s[i].n;
    char *p = put(to, &h, sizeof h);
    for (unsigned i = 0; i < N_SLICES; i++) p = put(p, s[i].p, s[i].n);
    if (s[N_SLICES - 1].n < line->msg.n) { /* over the end of the message, from the start of a character */
        char *msg = p - s[N_SLICES - 1].n, *at = p - (sizeof CUT_NOTE - 1);
        while (at > msg && ((unsigned char)*at & 0xC0u) == 0x80u) at--;
        (void)put(at, CUT_NOTE, sizeof CUT_NOTE - 1);
        memset(at + sizeof CUT_NOTE - 1, ' ', (size_t)(p - at) - (sizeof CUT_NOTE - 1));
    }
    for (unsigned i = 0; i < n_fields_of(line); i++) {
        nx_slice k = field_key(&line->fields[i]), v = field_value(&line->fields[i]);
        const uint32_t lengths[2] = {(uint32_t)k.n, (uint32_t)v.n};
        p = put(p, lengths, sizeof lengths);
        p = put(p, k.p, k.n);
        p = put(p, v.p, v.n);
    }
}

void nx_log_unpack(nx_slice packed, nx_log_line *line, nx_kv fields[NX_LOG_PACK_FIELDS])
{
    head h;
    memcpy(&h, packed.p, sizeof h);
    const char *p = packed.p + sizeof h;
    *line = (nx_log_line){.wall_ns = h.wall_ns,
                          .original_wall_ns = h.original_wall_ns,
                          .level = (nx_log_level)h.level,
                          .is_replay = h.is_replay != 0,
                          .fields = fields,
                          .n_fields = h.n_fields};
    nx_slice *const s[N_SLICES] = {&line->component, &line->event, &line->trace, &line->event_id, &line->run_id, &line->function, &line->ns, &line->msg};
    for (unsigned i = 0; i < N_SLICES; i++) {
        *s[i] = nx_slice_make(p, h.lengths[i]);
        p += h.lengths[i];
    }
    for (unsigned i = 0; i < h.n_fields; i++) {
        uint32_t lengths[2];
        memcpy(lengths, p, sizeof lengths);
        p += sizeof lengths;
        fields[i] = (nx_kv){nx_slice_make(p, lengths[0]), nx_slice_make(p + lengths[0], lengths[1])};
        p += lengths[0] + lengths[1];
    }
}

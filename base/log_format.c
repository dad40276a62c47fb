/* log_format.c: the text and JSON forms of a log line.
 * Guests write log lines, so nothing of theirs may reach a terminal as a control sequence, and no line may become two. */
#include "nx/buf.h"
#include "nx/clock.h"
#include "nx/json.h"
#include "nx/log.h"
#include "nx/thread.h"

#define CUT_NOTE "\xE2\x80\xA6" /* "…" stands where something was cut */

/* Bytes of s that may be shown as they are, from its start: printable ASCII and UTF-8 without the C1 controls. */
static size_t plain_run(nx_slice s)
{
    size_t i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f) break;
        if (c < 0x80) {
            i++;
            continue;
        }
        size_t k = nx_utf8_len(nx_slice_sub(s, i, s.n - i));
        if (k == 0 || (c == 0xC2 && (unsigned char)s.p[i + 1] < 0xA0)) break;
        i += k;
    }
    return i;
}

static nx_err append_visible(nx_buf *out, nx_slice s)
{
    while (s.n) {
        size_t run = plain_run(s);
        nx_err err = nx_buf_append(out, s.p, run);
        s = nx_slice_sub(s, run, s.n - run);
        if (!err && s.n) {
            char esc[4] = {'\\', 'x', 0, 0};
            esc[2] = "0123456789abcdef"[(unsigned char)s.p[0] >> 4];
            esc[3] = "0123456789abcdef"[(unsigned char)s.p[0] & 15u];
            err = nx_buf_append(out, esc, sizeof esc);
            s = nx_slice_sub(s, 1, s.n - 1);
        }
        if (err) return err;
    }
    return NX_OK;
}

static bool needs_quotes(nx_slice v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] == ' ' || v.p[i] == '"' || v.p[i] == '=' || v.p[i] == '\\') return true;
    return v.n == 0;
}

static nx_err append_field(nx_buf *out, const nx_kv *f)
{
    nx_err err = nx_buf_append_char(out, ' ');
    if (!err) err = append_visible(out, f->key);
    if (!err) err = nx_buf_append_char(out, '=');
    if (err || !needs_quotes(f->value)) return err ? err : append_visible(out, f->value);
    err = nx_buf_append_char(out, '"');
    nx_slice v = f->value;
    while (!err && v.n) {
        size_t n = 0;
        while (n < v.n && v.p[n] != '"' && v.p[n] != '\\') n++;
        err = append_visible(out, nx_slice_sub(v, 0, n));
        if (!err && n < v.n) {
            err = nx_buf_append_char(out, '\\');
            if (!err) err = nx_buf_append_char(out, v.p[n++]);
        }
        v = nx_slice_sub(v, n, v.n - n);
    }
    return err ? err : nx_buf_append_char(out, '"');
}

/* "2025-11-26T10:23:45Z"; most lines share their second with the line before. */
static size_t format_second(uint64_t wall_ns, char *out)
{
    static __thread uint64_t last_second = UINT64_MAX;
    static __thread char last_text[NX_RFC3339_MAX];
    static __thread size_t last_n;
    uint64_t second = wall_ns / NX_NS_PER_S;
    if (second != last_second) {
        last_n = nx_clock_rfc3339(second * NX_NS_PER_S, 0, last_text);
        last_second = second;
    }
    memcpy(out, last_text, last_n);
    return last_n;
}

static const char *colour_of(nx_log_level level)
{
    switch (level) {
    case NX_LOG_DEBUG: return "\x1b[2m";
    case NX_LOG_INFO: return "\x1b[32m";
    case NX_LOG_WARN: return "\x1b[33m";
    case NX_LOG_ERROR: break;
    }
    return "\x1b[31m";
}

static nx_err append_head(const nx_log_line *line, bool with_colour, nx_buf *out)
{
    char head[1 + NX_RFC3339_MAX];
    head[0] = '[';
    nx_err err = nx_buf_append(out, head, 1 + format_second(line->wall_ns, head + 1));
    if (!err) err = nx_buf_append_char(out, ' ');
    if (!err && with_colour) err = nx_buf_append_cstr(out, colour_of(line->level));
    if (!err) err = nx_buf_append_cstr(out, nx_log_level_name(line->level));
    if (!err && with_colour) err = nx_buf_append_cstr(out, "\x1b[0m");
    if (!err) err = nx_buf_append_char(out, ' ');
    if (!err) err = append_visible(out, line->component);
    if (!err) err = nx_buf_append_char(out, ']');
    if (!err && line->trace.n) {
        err = nx_buf_append_cstr(out, " [trace=");
        if (!err) err = append_visible(out, line->trace);
        if (!err) err = nx_buf_append_char(out, ']');
    }
    if (!err && line->ns.n && nx_thread_has_names()) {
        err = nx_buf_append_cstr(out, " [namespace=");
        if (!err) err = append_visible(out, line->ns);
        if (!err) err = nx_buf_append_char(out, ']');
    }
    return err;
}

nx_err nx_log_format_text(const nx_log_line *line, bool with_colour, struct nx_buf *out)
{
    size_t before = out->n;
    nx_err err = append_head(line, with_colour, out);
    if (!err) err = nx_buf_append_char(out, ' ');
    if (!err) err = append_visible(out, line->msg);
    for (size_t i = 0; !err && i < line->n_fields; i++) err = append_field(out, &line->fields[i]);
    if (!err) err = nx_buf_append_char(out, '\n');
    if (err) out->n = before;
    return err;
}

static void optional(nx_jw *w, const char *key, nx_slice v)
{
    if (v.n) nx_jw_kstr(w, key, v);
}

nx_err nx_log_format_json(const nx_log_line *line, struct nx_buf *out)
{
    size_t before = out->n;
    char when[NX_RFC3339_MAX];
    size_t when_n = nx_clock_rfc3339(line->wall_ns, 3, when);
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "time", nx_slice_make(when, when_n));
    nx_jw_kcstr(&w, "level", nx_log_level_name(line->level));
    nx_jw_kstr(&w, "component", line->component);
    optional(&w, "event", line->event);
    optional(&w, "trace_id", line->trace);
    optional(&w, "event_id", line->event_id);
    optional(&w, "run_id", line->run_id);
    optional(&w, "function", line->function);
    optional(&w, "namespace", line->ns);
    if (line->is_replay) nx_jw_kbool(&w, "is_replay", true);
    if (line->original_wall_ns) {
        when_n = nx_clock_rfc3339(line->original_wall_ns, 9, when);
        nx_jw_kstr(&w, "original_timestamp", nx_slice_make(when, when_n));
    }
    nx_jw_kstr(&w, "message", line->msg);
    for (size_t i = 0; i < line->n_fields; i++) {
        nx_jw_key_slice(&w, line->fields[i].key);
        nx_jw_str(&w, line->fields[i].value);
    }
    nx_jw_object_end(&w);
    nx_err err = nx_jw_err(&w);
    if (!err) err = nx_buf_append_char(out, '\n');
    if (err) out->n = before;
    return err;
}

static nx_err format_as(const nx_log_line *line, nx_log_form form, nx_buf *out)
{
    return form == NX_LOG_FORM_JSON ? nx_log_format_json(line, out) : nx_log_format_text(line, form == NX_LOG_FORM_COLOUR, out);
}

/* As much of msg as fits into room bytes with the note behind it, cut between characters. */
static nx_slice cut_message(nx_slice msg, char *storage, size_t room)
{
    size_t keep = room > sizeof CUT_NOTE ? room - sizeof CUT_NOTE : 0;
    if (keep >= msg.n) return msg;
    while (keep && ((unsigned char)msg.p[keep] & 0xC0u) == 0x80u) keep--;
    if (keep) memcpy(storage, msg.p, keep);
    memcpy(storage + keep, CUT_NOTE, sizeof CUT_NOTE - 1);
    return nx_slice_make(storage, keep + sizeof CUT_NOTE - 1);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the buffer writes there */
size_t nx_log_format_fit(const nx_log_line *line, nx_log_form form, char *dst, size_t dst_bytes)
{
    /* A buffer whose storage already has its full size is never reallocated, so it may lie anywhere. */
    nx_buf out = {dst, 0, dst_bytes, dst_bytes};
    if (format_as(line, form, &out) == NX_OK) return out.n;

    /* Too long. Keep who, when and which event, cut the rest: six bytes are the most that one byte becomes in either form. */
    nx_log_line cut = *line;
    nx_slice *const names[] = {&cut.component, &cut.event, &cut.trace, &cut.event_id, &cut.run_id, &cut.function, &cut.ns};
    for (size_t i = 0; i < NX_ARRAY_LEN(names); i++) *names[i] = nx_slice_sub(*names[i], 0, 64);
    const size_t head_bytes = 300 + NX_ARRAY_LEN(names) * 64 * 6;
    cut.fields = NULL;
    cut.n_fields = 0;
    char msg[4096];
    for (size_t growth = 1; growth <= 6; growth += 5) { /* most lines need no escapes: cut no more than needed */
        size_t room = dst_bytes > head_bytes ? (dst_bytes - head_bytes) / growth : 0;
        if (room > sizeof msg) room = sizeof msg;
        cut.msg = cut_message(line->msg, msg, room);
        out.n = 0;
        if (format_as(&cut, form, &out) == NX_OK) return out.n;
    }
    return 0;
}

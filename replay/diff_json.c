/* diff_json.c: a difference as JSON. */
#include "nx/diff.h"

#define VALUE_BYTES 2048u /* of one value; of what is longer its beginning is told, and its length */

/* JSON without the white space between its tokens. */
static nx_err compact(nx_slice json, nx_buf *out)
{
    bool is_string = false;
    for (size_t i = 0; i < json.n; i++) {
        char ch = json.p[i];
        if (!is_string && (ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t'))
            continue;
        nx_err err = nx_buf_append_char(out, ch);
        if (err != NX_OK)
            return err;
        if (is_string && ch == '\\' && i + 1 < json.n && (err = nx_buf_append_char(out, json.p[++i])) != NX_OK)
            return err;
        if (ch == '"')
            is_string = !is_string;
    }
    return NX_OK;
}

static nx_slice beginning(nx_slice text)
{
    nx_slice s = nx_slice_sub(text, 0, VALUE_BYTES);
    while (s.n && !nx_slice_is_utf8(s))
        s.n--;
    return s;
}

/* As text: a number keeps every digit on its way through a program that reads JSON. */
static void write_value(nx_jw *w, const char *key, const char *key_bytes, nx_slice json)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(VALUE_BYTES);
    if (json.n <= VALUE_BYTES && compact(json, &b) == NX_OK) {
        nx_jw_kstr(w, key, nx_buf_view(&b));
        return;
    }
    nx_jw_kstr(w, key, beginning(json));
    nx_jw_ku64(w, key_bytes, json.n);
}

void nx_diff_changes_to_json(const nx_json_changes *c, nx_jw *w)
{
    for (unsigned i = 0; i < c->n && i < NX_DIFF_SHOWN_MAX; i++) {
        const nx_json_change *v = &c->v[i];
        nx_jw_object(w);
        nx_jw_kcstr(w, "kind", nx_change_kind_name(v->kind));
        nx_jw_kstr(w, "path", v->path);
        if (v->before.n)
            write_value(w, "before", "before_bytes", v->before);
        if (v->after.n)
            write_value(w, "after", "after_bytes", v->after);
        nx_jw_object_end(w);
    }
}

static void write_line_changes(nx_jw *w, const nx_line_changes *c)
{
    for (unsigned i = 0; i < c->n && i < NX_DIFF_SHOWN_MAX; i++) {
        const nx_line_change *v = &c->v[i];
        nx_jw_object(w);
        nx_jw_kcstr(w, "kind", nx_change_kind_name(v->kind));
        nx_jw_ku64(w, "line", v->line);
        nx_jw_kstr(w, "text", beginning(v->text));
        if (v->text.n > VALUE_BYTES)
            nx_jw_ku64(w, "text_bytes", v->text.n);
        nx_jw_object_end(w);
    }
}

static void write_digest(nx_jw *w, const char *key, const nx_sha256 *d)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(d, hex);
    nx_jw_kcstr(w, key, hex);
}

static void write_content(nx_jw *w, const char *key, const nx_diff_content *c)
{
    if (c->form == NX_DIFF_SAME)
        return;
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_kcstr(w, "form", nx_diff_form_name(c->form));
    nx_jw_kbool(w, "is_cut", c->is_cut);
    nx_jw_ku64(w, "before_bytes", c->before_bytes);
    nx_jw_ku64(w, "after_bytes", c->after_bytes);
    write_digest(w, "before_sha256", &c->before_sha256);
    write_digest(w, "after_sha256", &c->after_sha256);
    if (c->form == NX_DIFF_JSON || c->form == NX_DIFF_TEXT) {
        nx_jw_ku64(w, "n_changes", c->form == NX_DIFF_JSON ? c->json.total : c->lines.total);
        nx_jw_key(w, "changes");
        nx_jw_array(w);
        if (c->form == NX_DIFF_JSON)
            nx_diff_changes_to_json(&c->json, w);
        else
            write_line_changes(w, &c->lines);
        nx_jw_array_end(w);
    }
    nx_jw_object_end(w);
}

static void write_side(nx_jw *w, const char *key, const nx_run *r)
{
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_kstr(w, "version", r->version);
    nx_jw_kstr(w, "artifact", r->artifact);
    nx_jw_kbool(w, "is_recorded", !r->is_replay);
    nx_jw_kcstr(w, "status", nx_run_status_name(r->status));
    if (r->why != NX_WHY_NONE)
        nx_jw_kcstr(w, "why", nx_run_why_name(r->why));
    if (r->why == NX_WHY_EXIT) {
        nx_jw_key(w, "exit_code");
        nx_jw_i64(w, r->exit_code);
    }
    if (r->message.n)
        nx_jw_kstr(w, "message", r->message);
    nx_jw_ku64(w, "output_bytes", r->output_bytes);
    write_digest(w, "output_sha256", &r->output_sha256);
    nx_jw_ku64(w, "logs_bytes", r->logs_bytes);
    nx_jw_ku64(w, "fuel", r->fuel);
    nx_jw_ku64(w, "memory_bytes", r->memory_bytes);
    nx_jw_kdouble(w, "duration_ms", (double)r->duration_ns / 1e6);
    nx_jw_ku64(w, "host_calls", r->n_calls);
    nx_jw_object_end(w);
}

static void write_emitted(nx_jw *w, const nx_diff *d)
{
    if (!d->n_emitted)
        return;
    nx_jw_key(w, "emitted");
    nx_jw_array(w);
    for (unsigned i = 0; i < d->n_emitted && i < NX_DIFF_SHOWN_MAX; i++) {
        const nx_diff_emitted *e = &d->emitted[i];
        nx_jw_object(w);
        nx_jw_kcstr(w, "kind", nx_change_kind_name(e->kind));
        nx_jw_ku64(w, "index", e->index);
        if (e->kind != NX_CHANGE_ADDED)
            nx_jw_kstr(w, "before_type", e->before_type);
        if (e->kind != NX_CHANGE_REMOVED)
            nx_jw_kstr(w, "after_type", e->after_type);
        if (e->is_data_unknown)
            nx_jw_kbool(w, "data_known", false);
        else
            write_content(w, "data", &e->data);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
}

void nx_diff_frames_to_json(nx_jw *w, const char *key, nx_slice frames)
{
    if (!frames.n)
        return;
    nx_jw_key(w, key);
    nx_jw_array(w);
    while (frames.n)
        nx_jw_str(w, nx_slice_split(frames, '\n', &frames));
    nx_jw_array_end(w);
}

static void write_first_call(nx_jw *w, const nx_diff *d)
{
    if (d->first_call < 0)
        return;
    nx_jw_key(w, "first_call");
    nx_jw_object(w);
    nx_jw_ku64(w, "index", (uint64_t)d->first_call);
    nx_jw_kstr(w, "before", d->call_before);
    nx_jw_kstr(w, "after", d->call_after);
    nx_jw_kcstr(w, "cause", nx_diff_cause(d->call_before, d->call_after));
    nx_diff_frames_to_json(w, "before_at", d->before_at);
    nx_diff_frames_to_json(w, "after_at", d->after_at);
    nx_jw_object_end(w);
}

static void write_pair(nx_jw *w, const char *key, int64_t index, nx_slice before, nx_slice after)
{
    if (index < 0)
        return;
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_ku64(w, "index", (uint64_t)index);
    nx_jw_kstr(w, "before", before);
    nx_jw_kstr(w, "after", after);
    nx_jw_object_end(w);
}

void nx_diff_shape_to_json(const nx_diff *d, nx_jw *w)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(&d->shape_sha256, hex);
    nx_jw_kstr(w, "shape", nx_slice_make(hex, NX_DIFF_SHAPE_HEX));
    nx_jw_key(w, "what");
    nx_jw_array(w);
    for (unsigned i = 0; i < d->n_shape; i++)
        nx_jw_str(w, d->shape[i]);
    nx_jw_array_end(w);
}

nx_err nx_diff_to_json(const nx_diff *d, nx_jw *w)
{
    nx_jw_object(w);
    nx_jw_kbool(w, "same", d->is_same);
    nx_diff_shape_to_json(d, w);
    write_side(w, "before", d->before);
    write_side(w, "after", d->after);
    nx_jw_kbool(w, "only_status", d->is_only_status);
    write_content(w, "output", &d->output);
    write_emitted(w, d);
    write_pair(w, "first_effect", d->first_effect, d->effect_before, d->effect_after);
    write_content(w, "logs", &d->logs);
    write_first_call(w, d);
    nx_jw_object_end(w);
    return nx_jw_err(w);
}

/* diff.c: the difference of two outcomes, and its shape. */
#include "nx/diff.h"
#include "nx/rt.h"
#include "text_diff.h"
#include "verdict.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SHAPE_LINE_BYTES 240u
#define CALL_TEXT_BYTES (64u << 10)
#define MESSAGE_SHAPE_BYTES 80u

const char *nx_diff_form_name(nx_diff_form f)
{
    static const char *const names[] = {"same", "formatting", "json", "text", "binary"};
    return names[f];
}

static bool same_digest(const nx_sha256 *a, const nx_sha256 *b) { return memcmp(a, b, sizeof *a) == 0; }

/* ---- contents ---------------------------------------------------------------------------------------------------------------------------- */

/* Text that people read: UTF-8 without NUL. */
static bool is_text(nx_slice s) { return nx_slice_is_utf8(s) && !(s.n && memchr(s.p, 0, s.n)); }

static nx_err compare_text(nx_slice before, nx_slice after, nx_arena *a, nx_diff_content *ret)
{
    nx_err err = nx_line_diff(before, after, NX_DIFF_CHANGES_MAX, a, &ret->lines);
    /* All lines are the same: one has a newline at its end, the other has not. */
    ret->form = ret->lines.total || ret->is_cut ? NX_DIFF_TEXT : NX_DIFF_FORMATTING;
    return err;
}

/* Digests differ; what is kept of both is at hand. */
static nx_err compare_content(nx_slice before, nx_slice after, nx_arena *a, nx_diff_content *ret)
{
    ret->is_cut = before.n < ret->before_bytes || after.n < ret->after_bytes;
    ret->form = NX_DIFF_BINARY;
    bool is_kept = (before.n || !ret->before_bytes) && (after.n || !ret->after_bytes);
    if (!is_kept || !is_text(before) || !is_text(after))
        return NX_OK;
    if (!ret->is_cut) {
        nx_err err = nx_json_diff(before, after, NX_DIFF_CHANGES_MAX, a, &ret->json);
        if (err == NX_OK)
            ret->form = ret->json.total ? NX_DIFF_JSON : NX_DIFF_FORMATTING;
        if (err != NX_EPARSE && err != NX_ELIMIT) /* deep or huge documents are compared by their lines */
            return err;
    }
    return compare_text(before, after, a, ret);
}

static nx_err compare_output(const nx_run *x, const nx_run *y, nx_arena *a, nx_diff_content *ret)
{
    *ret = (nx_diff_content){.before_bytes = x->output_bytes, .after_bytes = y->output_bytes, .before_sha256 = x->output_sha256, .after_sha256 = y->output_sha256};
    return same_digest(&x->output_sha256, &y->output_sha256) ? NX_OK : compare_content(x->output, y->output, a, ret);
}

static nx_err compare_logs(const nx_run *x, const nx_run *y, nx_arena *a, nx_diff_content *ret)
{
    *ret = (nx_diff_content){.before_bytes = x->logs_bytes, .after_bytes = y->logs_bytes, .before_sha256 = x->logs_sha256, .after_sha256 = y->logs_sha256};
    if (same_digest(&x->logs_sha256, &y->logs_sha256))
        return NX_OK;
    ret->is_cut = x->logs.n < x->logs_bytes || y->logs.n < y->logs_bytes;
    ret->form = NX_DIFF_BINARY;
    return is_text(x->logs) && is_text(y->logs) ? compare_text(x->logs, y->logs, a, ret) : NX_OK;
}

/* ---- emitted events ------------------------------------------------------------------------------------------------------------------------ */

static nx_err compare_emit(const nx_emit *x, const nx_emit *y, nx_arena *a, nx_diff_content *ret)
{
    *ret = (nx_diff_content){.before_bytes = x->data.n, .after_bytes = y->data.n};
    if (nx_slice_eq(x->data, y->data))
        return NX_OK;
    ret->before_sha256 = nx_sha256_of(x->data);
    ret->after_sha256 = nx_sha256_of(y->data);
    return compare_content(x->data, y->data, a, ret);
}

static bool knows(const nx_diff_side *s, unsigned i) { return s->emits && (!s->knows || s->knows[i]); }

static nx_err compare_emitted(const nx_diff_side *x, const nx_diff_side *y, nx_arena *a, nx_diff *d)
{
    unsigned n = nx_run_guest_emits(x->run), m = nx_run_guest_emits(y->run), most = n > m ? n : m; /* not what output became: that is compared */
    nx_err err = NX_OK;
    d->emitted = nx_arena_calloc(a, most ? most : 1, sizeof *d->emitted);
    if (!d->emitted)
        return NX_ELIMIT;
    for (unsigned i = 0; i < most && err == NX_OK; i++) {
        const nx_emitted *before = i < n ? &x->run->emitted[i] : NULL, *after = i < m ? &y->run->emitted[i] : NULL;
        nx_diff_emitted e = {.index = i, .before_type = before ? before->type : NX_SLICE_NULL, .after_type = after ? after->type : NX_SLICE_NULL};
        e.kind = !before ? NX_CHANGE_ADDED : !after ? NX_CHANGE_REMOVED
                                                    : NX_CHANGE_CHANGED;
        if (before && after && same_digest(&before->digest, &after->digest))
            continue;
        if (before && after && knows(x, i) && knows(y, i))
            err = compare_emit(&x->emits[i], &y->emits[i], a, &e.data);
        else
            e.is_data_unknown = before && after;
        d->emitted[d->n_emitted++] = e;
    }
    return err;
}

/* ---- effects and host calls -------------------------------------------------------------------------------------------------------------------- */

static nx_slice effect_text(const nx_run *r, unsigned i, nx_arena *a)
{
    if (i >= r->n_effects)
        return NX_SLICE("no further effect");
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(&r->effects[i].request, hex);
    char *text = nx_arena_printf(a, "%.*s (request sha256:%.12s…)", NX_SLICE_FMT(r->effects[i].name), hex);
    return text ? nx_slice_cstr(text) : r->effects[i].name;
}

/* What was asked, in which order. Answers are the recording's on both sides. */
static void compare_effects(const nx_run *x, const nx_run *y, nx_arena *a, nx_diff *d)
{
    unsigned i = 0;
    while (i < x->n_effects && i < y->n_effects && nx_slice_eq(x->effects[i].name, y->effects[i].name) &&
           same_digest(&x->effects[i].request, &y->effects[i].request))
        i++;
    if (i == x->n_effects && i == y->n_effects)
        return;
    d->first_effect = i;
    d->effect_before = effect_text(x, i, a);
    d->effect_after = effect_text(y, i, a);
}

static nx_err compare_calls(const nx_run *x, const nx_run *y, nx_arena *a, nx_diff *d)
{
    if (same_digest(&x->calls_sha256, &y->calls_sha256))
        return NX_OK;
    NX_CLEANUP(nx_buf_done)
    nx_buf before = NX_BUF_INIT(CALL_TEXT_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf after = NX_BUF_INIT(CALL_TEXT_BYTES);
    nx_replay_first_call(x, y, &d->first_call, &before, &after);
    d->call_before = nx_arena_dup(a, nx_buf_view(&before));
    d->call_after = nx_arena_dup(a, nx_buf_view(&after));
    return d->call_before.p && d->call_after.p ? NX_OK : NX_ELIMIT;
}

/* ---- the shape ------------------------------------------------------------------------------------------------------------------------------- */

static nx_err shape_add(nx_diff *d, nx_arena *a, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Lines come in the order of the parts; those of one part that are alike are one. */
static nx_err shape_add(nx_diff *d, nx_arena *a, const char *fmt, ...)
{
    char line[SHAPE_LINE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    nx_slice text = nx_slice_cstr(line);
    while (text.n && !nx_slice_is_utf8(text)) /* cut inside a character */
        text.n--;
    for (unsigned i = 0; i < d->n_shape; i++)
        if (nx_slice_eq(d->shape[i], text))
            return NX_OK;
    if (d->n_shape == NX_DIFF_SHAPE_MAX)
        return NX_OK;
    d->shape[d->n_shape] = nx_arena_dup(a, text);
    return d->shape[d->n_shape++].p ? NX_OK : NX_ELIMIT;
}

/* Lines that follow one another without an equal one between them are one place. */
static nx_err shape_of_lines(nx_diff *d, nx_arena *a, const char *part, const nx_line_changes *c)
{
    int64_t shift = 0; /* of line numbers, after against before, by the places so far */
    nx_err err = NX_OK;
    for (unsigned i = 0; i < c->n && err == NX_OK;) {
        bool begins_removed = c->v[i].kind == NX_CHANGE_REMOVED;
        int64_t removed = 0, added = 0, line = c->v[i].line;
        int64_t before = begins_removed ? line : line - shift, after = begins_removed ? line + shift : line;
        for (; i < c->n; i++) {
            bool is_removed = c->v[i].kind == NX_CHANGE_REMOVED;
            if (c->v[i].line != (is_removed ? before + removed : after + added))
                break;
            removed += is_removed;
            added += !is_removed;
        }
        shift += added - removed;
        err = shape_add(d, a, "%s line %lld %s", part, (long long)line, removed && added ? "changed" : removed ? "removed"
                                                                                                               : "added");
    }
    return err;
}

static nx_err shape_of_content(nx_diff *d, nx_arena *a, const char *part, const nx_diff_content *c)
{
    nx_err err = NX_OK;
    switch (c->form) {
    case NX_DIFF_SAME: return NX_OK;
    case NX_DIFF_FORMATTING: return shape_add(d, a, "%s written in another way", part);
    case NX_DIFF_BINARY: return shape_add(d, a, "%s changed", part);
    case NX_DIFF_TEXT: return c->lines.total ? shape_of_lines(d, a, part, &c->lines) : shape_add(d, a, "%s changed behind what is kept of it", part);
    case NX_DIFF_JSON: break;
    }
    for (unsigned i = 0; i < c->json.n && err == NX_OK; i++) {
        nx_slice place = c->json.v[i].place;
        err = shape_add(d, a, "%s%s%.*s %s", part, place.n && *place.p != '[' ? "." : "", NX_SLICE_FMT(place), nx_change_kind_name(c->json.v[i].kind));
    }
    return err;
}

/* A message with its numbers taken out: lines and addresses move with every build. */
static void message_shape(nx_slice m, char out[MESSAGE_SHAPE_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < m.n && n + 1 < MESSAGE_SHAPE_BYTES; i++) {
        bool is_digit = m.p[i] >= '0' && m.p[i] <= '9';
        if (is_digit && n && out[n - 1] == '#')
            continue;
        out[n++] = is_digit ? '#' : m.p[i];
    }
    out[n] = 0;
}

static nx_err shape_of_end(nx_diff *d, nx_arena *a)
{
    const nx_run *x = d->before, *y = d->after;
    char before[MESSAGE_SHAPE_BYTES], after[MESSAGE_SHAPE_BYTES];
    if (d->differs_in_status)
        return shape_add(d, a, "status %s%s%s -> %s%s%s", nx_run_status_name(x->status), x->why ? ": " : "", x->why ? nx_run_why_name(x->why) : "",
                         nx_run_status_name(y->status), y->why ? ": " : "", y->why ? nx_run_why_name(y->why) : "");
    if (!d->differs_in_message)
        return NX_OK;
    message_shape(x->message, before);
    message_shape(y->message, after);
    return shape_add(d, a, "message \"%s\" -> \"%s\"", before, after);
}

static nx_err shape_of_emitted(nx_diff *d, nx_arena *a)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; i < d->n_emitted && err == NX_OK; i++) {
        const nx_diff_emitted *e = &d->emitted[i];
        if (e->kind == NX_CHANGE_ADDED)
            err = shape_add(d, a, "event %.*s emitted", NX_SLICE_FMT(e->after_type));
        else if (e->kind == NX_CHANGE_REMOVED)
            err = shape_add(d, a, "event %.*s no longer emitted", NX_SLICE_FMT(e->before_type));
        else if (!nx_slice_eq(e->before_type, e->after_type))
            err = shape_add(d, a, "event %.*s -> %.*s", NX_SLICE_FMT(e->before_type), NX_SLICE_FMT(e->after_type));
        else if (e->data.form == NX_DIFF_SAME)
            err = shape_add(d, a, "event %.*s changed", NX_SLICE_FMT(e->after_type));
        else {
            char part[128];
            snprintf(part, sizeof part, "event %.*s: data", NX_SLICE_FMT(nx_slice_sub(e->after_type, 0, 100)));
            err = shape_of_content(d, a, part, &e->data);
        }
    }
    return err;
}

static nx_err shape_of_effect(nx_diff *d, nx_arena *a)
{
    if (d->first_effect < 0)
        return NX_OK;
    unsigned i = (unsigned)d->first_effect;
    const nx_run *x = d->before, *y = d->after;
    if (i >= x->n_effects)
        return shape_add(d, a, "effect %.*s added", NX_SLICE_FMT(y->effects[i].name));
    if (i >= y->n_effects)
        return shape_add(d, a, "effect %.*s removed", NX_SLICE_FMT(x->effects[i].name));
    if (nx_slice_eq(x->effects[i].name, y->effects[i].name))
        return shape_add(d, a, "effect %.*s asks otherwise", NX_SLICE_FMT(x->effects[i].name));
    return shape_add(d, a, "effect %.*s -> %.*s", NX_SLICE_FMT(x->effects[i].name), NX_SLICE_FMT(y->effects[i].name));
}

static int by_text(const void *a, const void *b)
{
    const nx_slice *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n ? memcmp(x->p, y->p, n) : 0;
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static nx_err make_shape(nx_diff *d, nx_arena *a)
{
    nx_err err = shape_of_end(d, a);
    if (err == NX_OK)
        err = shape_of_content(d, a, "output", &d->output);
    if (err == NX_OK)
        err = shape_of_emitted(d, a);
    if (err == NX_OK)
        err = shape_of_effect(d, a);
    if (err == NX_OK)
        err = shape_of_content(d, a, "log", &d->logs);
    /* In one order, so that the shape does not depend on which of two changed elements came first. */
    qsort(d->shape, d->n_shape, sizeof *d->shape, by_text);
    NX_CLEANUP(nx_buf_done)
    nx_buf all = NX_BUF_INIT(NX_DIFF_SHAPE_MAX * (SHAPE_LINE_BYTES + 1));
    for (unsigned i = 0; i < d->n_shape && err == NX_OK; i++) {
        err = nx_buf_append_slice(&all, d->shape[i]);
        if (err == NX_OK)
            err = nx_buf_append_char(&all, '\n');
    }
    d->shape_sha256 = nx_sha256_of(nx_buf_view(&all));
    return err;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------------------------- */

static bool is_anywhere(const nx_run *x)
{
    return x->why == NX_WHY_STACK_OVERFLOW || x->status == NX_RUN_TIMEOUT || x->status == NX_RUN_CANCELLED;
}

nx_err nx_diff_make(const nx_diff_side *before, const nx_diff_side *after, nx_arena *a, nx_diff *ret)
{
    const nx_run *x = before->run, *y = after->run;
    nx_run_status s1, s2;
    nx_run_why w1, w2;
    nx_err err = NX_OK;
    *ret = (nx_diff){.before = x, .after = y, .first_effect = -1, .first_call = -1};
    nx_replay_guest_status(x, &s1, &w1);
    nx_replay_guest_status(y, &s2, &w2);
    ret->differs_in_status = s1 != s2 || w1 != w2 || x->exit_code != y->exit_code;
    ret->is_only_status = is_anywhere(x) && is_anywhere(y) && !ret->differs_in_status;
    if (!ret->is_only_status) {
        ret->differs_in_message = s1 != NX_RUN_OK && s2 != NX_RUN_OK && !nx_slice_eq(x->message, y->message);
        compare_effects(x, y, a, ret);
        err = compare_output(x, y, a, &ret->output);
        if (err == NX_OK)
            err = compare_logs(x, y, a, &ret->logs);
        if (err == NX_OK)
            err = compare_emitted(before, after, a, ret);
        if (err == NX_OK)
            err = compare_calls(x, y, a, ret);
    }
    if (err == NX_OK)
        err = make_shape(ret, a);
    ret->is_same = !ret->differs_in_status && !ret->differs_in_message && ret->output.form == NX_DIFF_SAME && ret->logs.form == NX_DIFF_SAME &&
                   ret->n_emitted == 0 && ret->first_effect < 0;
    return err;
}

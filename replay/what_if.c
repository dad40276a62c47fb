/* what_if.c: another event, another time. */
#include "nx/what_if.h"
#include "nx/clock.h"
#include "nx/json_path.h"
#include "what_if_effect.h"

bool nx_what_if_is_empty(const nx_replay_what_if *w) { return !w->has_data && !w->n_sets && !w->n_effects && !w->start_wall_ns && !w->shift_ns; }

/* ---- reading ----------------------------------------------------------------------------------------------------------------------------------- */

static nx_err copy(nx_slice s, nx_arena *a, nx_slice *ret, nx_error *reterr)
{
    *ret = nx_arena_dup(a, s);
    return ret->p ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory for a what-if");
}

static nx_err read_sets(const nx_json *list, nx_arena *a, nx_replay_what_if *w, nx_error *reterr)
{
    nx_err err = NX_OK;
    w->n_sets = (unsigned)nx_json_len(list);
    if (nx_json_len(list) > NX_WHAT_IF_CHANGES_MAX)
        return nx_error_set(reterr, NX_ELIMIT, "more than %d changes of the event", NX_WHAT_IF_CHANGES_MAX);
    for (unsigned i = 0; i < w->n_sets && err == NX_OK; i++) {
        const nx_json *set = nx_json_at(list, i);
        err = copy(nx_json_get_str(set, "path"), a, &w->sets[i].path, reterr);
        if (err == NX_OK)
            err = copy(nx_json_get_str(set, "value"), a, &w->sets[i].value, reterr);
    }
    return err;
}

static nx_err read_effects(const nx_json *list, nx_arena *a, nx_replay_what_if *w, nx_error *reterr)
{
    nx_err err = NX_OK;
    w->n_effects = (unsigned)nx_json_len(list);
    if (nx_json_len(list) > NX_WHAT_IF_CHANGES_MAX)
        return nx_error_set(reterr, NX_ELIMIT, "more than %d changed effects", NX_WHAT_IF_CHANGES_MAX);
    for (unsigned i = 0; i < w->n_effects && err == NX_OK; i++) {
        const nx_json *effect = nx_json_at(list, i);
        uint64_t index = nx_json_get_u64(effect, "index", UINT64_MAX);
        if (index >= NX_RUN_EFFECTS_MAX)
            return nx_error_set(reterr, NX_EINVAL, "the index of a changed effect is not a number from 0");
        w->effects[i].index = (unsigned)index;
        err = copy(nx_json_get_str(effect, "answer"), a, &w->effects[i].answer, reterr);
    }
    return err;
}

static nx_err read_data(nx_slice base64, nx_arena *a, nx_replay_what_if *w, nx_error *reterr)
{
    size_t room = base64.n / 4 * 3 + 3;
    char *p = room <= NX_WHAT_IF_DATA_BYTES ? nx_arena_alloc(a, room) : NULL;
    if (!p)
        return nx_error_set(reterr, NX_ELIMIT, "the data is over %u bytes", NX_WHAT_IF_DATA_BYTES);
    if (nx_base64_decode(base64, &w->data, p, room) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "data_base64 is not base64");
    w->has_data = true;
    return NX_OK;
}

static nx_err read_time(nx_slice text, nx_replay_what_if *w, nx_error *reterr)
{
    bool is_shift = text.n > 1 && (*text.p == '+' || *text.p == '-');
    uint64_t span = 0;
    nx_err err = is_shift ? nx_duration_parse(nx_slice_sub(text, 1, text.n), &span) : nx_clock_parse_rfc3339(text, &w->start_wall_ns);
    if (err != NX_OK || span > INT64_MAX || (!is_shift && !w->start_wall_ns))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is no time (2026-02-28T23:59:00Z) and no span from the recorded time on (+1h, -7d)", NX_SLICE_FMT(text));
    w->shift_ns = *text.p == '-' ? -(int64_t)span : (int64_t)span;
    return NX_OK;
}

nx_err nx_what_if_from_json(const nx_json *request, nx_arena *a, nx_replay_what_if *ret, nx_error *reterr)
{
    nx_slice data = nx_json_get_str(request, "data_base64"), at = nx_json_get_str(request, "at");
    *ret = (nx_replay_what_if){.n_sets = 0};
    nx_err err = read_sets(nx_json_get(request, "set"), a, ret, reterr);
    if (err == NX_OK)
        err = read_effects(nx_json_get(request, "set_effects"), a, ret, reterr);
    if (err == NX_OK && data.p)
        err = read_data(data, a, ret, reterr);
    return err == NX_OK && at.n ? read_time(at, ret, reterr) : err;
}

/* ---- applying ---------------------------------------------------------------------------------------------------------------------------------- */

static nx_err set_one(const nx_what_if_set *set, nx_slice data, nx_arena *a, nx_buf *out, nx_error *reterr)
{
    nx_json_path path;
    nx_slice whole;
    nx_err err = nx_json_path_parse(set->path, a, &path, reterr);
    if (err != NX_OK)
        return err;
    if (!nx_slice_eq_cstr(path.steps[0].key, "data"))
        return nx_error_set(reterr, NX_EINVAL, "path \"%.*s\": only the event's data can be changed; the path begins with data", NX_SLICE_FMT(set->path));
    /* It is spliced in as it stands, so it has to be one value. It is only scanned: a number that no C type holds stays what it is. */
    NX_CLEANUP(nx_buf_done)
    nx_buf wrapped = NX_BUF_INIT(NX_WHAT_IF_DATA_BYTES);
    err = nx_buf_printf(&wrapped, "{\"v\":%.*s}", NX_SLICE_FMT(set->value));
    if (err != NX_OK || nx_json_member_bytes(nx_buf_view(&wrapped), NX_SLICE("v"), &whole) != NX_OK || !nx_slice_eq(whole, nx_slice_trim(set->value)))
        return nx_error_set(reterr, NX_EINVAL, "path \"%.*s\": the value is not JSON", NX_SLICE_FMT(set->path));
    if (path.n == 1) /* all of it, whatever it was */
        return nx_buf_append_slice(out, set->value);
    err = nx_json_path_set(data, &path, 1, set->value, out, reterr);
    if (err == NX_EPARSE)
        return nx_error_set(reterr, NX_EINVAL, "path \"%.*s\": the event's data is not JSON; other data as a whole comes with --data", NX_SLICE_FMT(set->path));
    return err;
}

static nx_err set_all(const nx_replay_what_if *w, nx_slice data, nx_arena *a, nx_slice *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf from = NX_BUF_INIT(NX_WHAT_IF_DATA_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf to = NX_BUF_INIT(NX_WHAT_IF_DATA_BYTES);
    nx_slice now = w->has_data ? w->data : data;
    nx_err err = NX_OK;
    for (unsigned i = 0; i < w->n_sets && err == NX_OK; i++) {
        nx_buf_clear(&to);
        err = set_one(&w->sets[i], now, a, &to, reterr);
        nx_buf swap = from;
        from = to;
        to = swap;
        now = nx_buf_view(&from);
    }
    return err == NX_OK ? copy(now, a, ret, reterr) : err;
}

static uint64_t start_of(const nx_replay_what_if *w, const nx_run *recorded)
{
    if (w->start_wall_ns)
        return w->start_wall_ns;
    uint64_t begin = recorded->start_wall_ns, back = w->shift_ns < 0 ? (uint64_t)-w->shift_ns : 0;
    if (back)
        return back < begin ? begin - back : 1;
    return w->shift_ns ? begin + (uint64_t)w->shift_ns : 0;
}

nx_err nx_what_if_apply(const nx_replay_what_if *w, const nx_event *event, const nx_run *recorded, nx_arena *a, nx_replay_how *how, nx_error *reterr)
{
    nx_err err = NX_OK;
    if (nx_what_if_is_empty(w))
        return NX_OK;
    how->is_what_if = true;
    how->start_wall_ns = start_of(w, recorded);
    if (w->has_data || w->n_sets) {
        nx_slice *data = nx_arena_calloc(a, 1, sizeof *data);
        if (!data)
            return nx_error_set(reterr, NX_ENOMEM, "out of memory for a what-if");
        err = set_all(w, event->data, a, data, reterr);
        how->data = data;
    }
    return err == NX_OK && w->n_effects ? nx_what_if_effects(w, recorded, a, how, reterr) : err;
}

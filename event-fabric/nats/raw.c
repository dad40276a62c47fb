/* raw.c: raw subjects of users: captured into the log by the events stream itself, or, where another stream owns them, by sourcing from it.
 * A sourced message keeps its subject, so the rest of the fabric sees no difference. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define OVERLAP 10065

struct wanted {
    char **v;
    char **owner;   /* stream to source it from; NULL: captured */
    uint64_t *from; /* sequence there to begin at */
    unsigned n;
};

static void wanted_done(struct wanted *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        free(w->v[i]);
        if (w->owner)
            free(w->owner[i]);
    }
    free(w->v);
    free(w->owner);
    free(w->from);
}

/* Subjects of the machinery would capture its own traffic. */
static bool is_reserved(nx_slice s)
{
    static const char *const ours[] = {"nx.>", "_NX.>", "_INBOX.>", "$JS.>", "$KV.>", "$O.>", "$SYS.>", "$MQTT.>"};

    for (size_t i = 0; i < NX_ARRAY_LEN(ours); i++)
        if (nx_fab_subject_overlaps(s, nx_slice_cstr(ours[i])))
            return true;
    return false;
}

static nx_err collect(struct wanted *w, const nx_slice *subjects, unsigned n, nx_error *reterr)
{
    bool is_loose;

    w->v = calloc(n ? n : 1, sizeof *w->v);
    if (!w->v)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < n; i++) {
        if (!nx_fab_subject_is_valid(subjects[i], true) || is_reserved(subjects[i]))
            return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" can't be captured: it is not a NATS subject, or it meets subjects of the machinery (nx.>, $JS.>, …)",
                                NX_SLICE_FMT(subjects[i]));
        w->v[i] = nx_slice_strdup(subjects[i]);
        if (!w->v[i])
            return nx_error_set(reterr, NX_ENOMEM, "out of memory");
        w->n = i + 1;
    }
    w->n = nx_fab_filters_reduce(w->v, w->n, &is_loose);
    w->owner = calloc(w->n ? w->n : 1, sizeof *w->owner);
    w->from = calloc(w->n ? w->n : 1, sizeof *w->from);
    return w->owner && w->from ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
}

/* A stream of somebody else that has the subject, and what comes next there: what it holds already is history, not events. (A start time
 * would not do: nats-server moves it past the newest message of the sourcing stream.) NX_ENOENT: none. */
static nx_err find_owner(nx_fab_ns *n, const char *subject, char **ret, uint64_t *ret_from, nx_error *reterr)
{
    char body[NX_FAB_SUBJECT_BYTES + 32];
    nx_fab_stream_state st;
    nx_json *j = NULL;
    const nx_json *names;
    nx_err e;

    snprintf(body, sizeof body, "{\"subject\":\"%s\"}", subject);
    e = nx_fab_api(n->f, "STREAM.NAMES", nx_slice_cstr(body), &j, NULL, reterr);
    if (e)
        return e;
    names = nx_json_get(j, "streams");
    e = NX_ENOENT;
    for (size_t i = 0; i < nx_json_len(names) && e == NX_ENOENT; i++) {
        nx_slice name = nx_json_str(nx_json_at(names, i));

        if (nx_slice_eq_cstr(name, n->events))
            continue;
        *ret = nx_slice_strdup(name);
        e = *ret ? nx_fab_stream_state_get(n->f, *ret, &st, reterr) : NX_ENOMEM;
        if (!e)
            *ret_from = st.last_seq + 1;
    }
    nx_json_free(j);
    return e;
}

static const nx_json *find_source(const nx_json *sources, const char *owner, const char *filter)
{
    for (size_t i = 0; i < nx_json_len(sources); i++) {
        const nx_json *s = nx_json_at(sources, i);

        if (nx_slice_eq_cstr(nx_json_get_str(s, "name"), owner) && nx_slice_eq_cstr(nx_json_get_str(s, "filter_subject"), filter))
            return s;
    }
    return NULL;
}

static void write_sources(nx_jw *w, const struct wanted *want, const nx_json *there)
{
    for (unsigned i = 0; i < want->n; i++) {
        const nx_json *old = want->owner[i] ? find_source(there, want->owner[i], want->v[i]) : NULL;
        nx_buf text = NX_BUF_INIT(1 << 16);

        if (!want->owner[i])
            continue;
        if (old && !nx_json_dump(old, &text)) {
            nx_jw_raw(w, nx_buf_view(&text)); /* goes on where it is */
        } else {
            nx_jw_object(w);
            nx_jw_kcstr(w, "name", want->owner[i]);
            nx_jw_kcstr(w, "filter_subject", want->v[i]);
            nx_jw_ku64(w, "opt_start_seq", want->from[i]);
            nx_jw_object_end(w);
        }
        nx_buf_done(&text);
    }
}

static nx_err update(nx_fab_ns *n, const struct wanted *want, int *ret_api_code, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf keys = NX_BUF_INIT(1 << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf config = NX_BUF_INIT(NX_FAB_JSON_BYTES);
    nx_jw w = NX_JW_INIT(&keys);
    nx_json *info = NULL, *answer = NULL;
    char subject[160];
    bool differs = false;
    nx_err e;

    snprintf(subject, sizeof subject, "STREAM.INFO.%s", n->events);
    e = nx_fab_api(n->f, subject, NX_SLICE_NULL, &info, NULL, reterr);
    if (e)
        return e;
    nx_jw_object(&w);
    nx_jw_key(&w, "subjects");
    nx_jw_array(&w);
    snprintf(subject, sizeof subject, "%s>", n->ev_prefix);
    nx_jw_cstr(&w, subject);
    snprintf(subject, sizeof subject, "%s>", n->due_prefix);
    nx_jw_cstr(&w, subject);
    for (unsigned i = 0; i < want->n; i++)
        if (!want->owner[i])
            nx_jw_cstr(&w, want->v[i]);
    nx_jw_array_end(&w);
    nx_jw_key(&w, "sources");
    nx_jw_array(&w);
    write_sources(&w, want, nx_json_get(nx_json_get(info, "config"), "sources"));
    nx_jw_array_end(&w);
    nx_jw_object_end(&w);
    e = nx_jw_err(&w);
    if (!e)
        e = nx_fab_json_merge(nx_json_get(info, "config"), nx_buf_view(&keys), NULL, &config, &differs, reterr);
    nx_json_free(info);
    if (e || !differs)
        return e;
    snprintf(subject, sizeof subject, "STREAM.UPDATE.%s", n->events);
    e = nx_fab_api(n->f, subject, nx_buf_view(&config), &answer, ret_api_code, reterr);
    nx_json_free(answer);
    return e;
}

nx_err nx_fab_ns_raw_subjects(nx_fab_ns *n, const nx_slice *subjects, unsigned n_subjects, nx_error *reterr)
{
    struct wanted w = {0};
    int code = 0;
    nx_err e = collect(&w, subjects, n_subjects, reterr);

    if (!e)
        e = update(n, &w, &code, reterr);
    if (e && code == OVERLAP) {
        e = NX_OK;
        for (unsigned i = 0; !e && i < w.n; i++) {
            e = find_owner(n, w.v[i], &w.owner[i], &w.from[i], reterr);
            if (e == NX_ENOENT)
                e = NX_OK;
        }
        if (!e)
            e = update(n, &w, NULL, reterr);
    }
    wanted_done(&w);
    return e;
}

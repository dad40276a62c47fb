/* event_batch.c: see nx/event_batch.h. */
#include "nx/event_batch.h"
#include "json_scan.h"
#include "nx/digest.h"

static nx_slice extension(const nx_event *e, const char *name)
{
    for (unsigned i = 0; i < e->n_ext && i < NX_EVENT_EXT_MAX; i++)
        if (nx_slice_eq_cstr(e->ext[i].key, name)) return e->ext[i].value;
    return NX_SLICE_NULL;
}

nx_slice nx_event_batch_ids(const nx_event *e) { return extension(e, NX_EVENT_BATCH_EXT); }

nx_slice nx_event_version_key(const nx_event *e)
{
    if (e->partition_key.n) return e->partition_key;
    nx_slice of_last = nx_event_batch_ids(e).n ? extension(e, NX_EVENT_BATCH_KEY_EXT) : NX_SLICE_NULL;
    return of_last.n ? of_last : nx_id_slice(&e->event_id);
}

bool nx_event_batch_next(nx_slice *ids, nx_id *ret)
{
    return ids->n && nx_id_parse(nx_slice_split(*ids, ',', ids), ret) == NX_OK;
}

static bool is_json_text(nx_slice s)
{
    nx_json_scan scan = {s.p, s.p ? s.p + s.n : NULL};
    return s.n && nx_json_scan_document(&scan) == NX_OK;
}

static nx_err append_base64(nx_slice data, nx_buf *out)
{
    nx_err err = nx_buf_append_cstr(out, "{\"data_base64\":\"");
    if (!err) err = nx_buf_reserve(out, 4 * ((data.n + 2) / 3) + 1);
    if (err) return err;
    out->n += nx_base64_encode(data, false, out->p + out->n);
    return nx_buf_append_cstr(out, "\"}");
}

/* As in the JSON form of an event: what claims to be JSON and is not goes as bytes, not as a string that a reader would take for the data. */
static nx_err append_data(const nx_event *e, nx_buf *out)
{
    bool claims_json = nx_content_type_is_json(e->content_type);
    nx_jw w = NX_JW_INIT(out);
    if (!e->data.n) return nx_buf_append_cstr(out, "null");
    if ((claims_json || !e->content_type.n) && is_json_text(e->data)) return nx_buf_append(out, e->data.p, e->data.n);
    if (claims_json || e->data_is_base64 || !nx_slice_is_utf8(e->data)) return append_base64(e->data, out);
    nx_jw_str(&w, e->data);
    return nx_jw_err(&w);
}

nx_err nx_event_batch_append(const nx_event *e, bool as_cloudevents, nx_buf *out)
{
    size_t before = out->n;
    nx_err err = nx_buf_append_char(out, before ? ',' : '[');
    if (!err) err = as_cloudevents ? nx_event_to_json(e, out) : append_data(e, out);
    if (err) out->n = before;
    return err;
}

nx_err nx_event_batch_end(nx_buf *out) { return nx_buf_append_char(out, ']'); }

nx_err nx_event_input(const nx_event *e, bool as_cloudevents, bool takes_batches, nx_buf *scratch, nx_slice *ret)
{
    nx_err err = NX_OK;
    *ret = e->data;
    if (takes_batches ? nx_event_batch_ids(e).n > 0 : !as_cloudevents) return NX_OK;
    if (takes_batches) {
        err = nx_event_batch_append(e, as_cloudevents, scratch);
        if (!err) err = nx_event_batch_end(scratch);
    } else {
        err = nx_event_to_json(e, scratch);
    }
    *ret = nx_buf_view(scratch);
    return err;
}

/* source_map_embed.c: see nx/rt_source_map.h. */
#include "nx/rt_source_map.h"

#include <stdlib.h>

#include "bytes.h"
#include "nx/digest.h"
#include "nx/json.h"
#include "source_map.h"

static const char section_name[] = "sourceMappingURL";
static const char url_head[] = "data:application/json;base64,";

typedef struct found {
    nx_slice before, url, behind; /* before: all up to the section */
    bool is_behind_code;
} found;

static bool find(nx_slice module, found *ret)
{
    bool has_code = false;
    nx_rt_bytes rest = nx_rt_sections_of(module);
    uint8_t id;
    nx_slice body;
    for (const uint8_t *begin = rest.p; nx_rt_take_section(&rest, &id, &body); begin = rest.p) {
        nx_rt_bytes in = nx_rt_bytes_of(body);
        has_code = has_code || id == NX_RT_SEC_CODE;
        if (id != NX_RT_SEC_CUSTOM || !nx_slice_eq_cstr(nx_rt_take_sized(&in), section_name)) continue;
        *ret = (found){.before = nx_slice_make(module.p, (size_t)((const char *)begin - module.p)), .behind = nx_rt_bytes_left(&rest), .is_behind_code = has_code};
        ret->url = nx_rt_take_sized(&in);
        return !in.is_bad;
    }
    return false;
}

nx_slice nx_rt_source_map_url(nx_slice module)
{
    found f;
    return find(module, &f) ? f.url : NX_SLICE_NULL;
}

/* ---- the other way */

static nx_err put_bytes(nx_buf *out, nx_slice s)
{
    nx_err err = nx_rt_put_uleb(out, s.n);
    return err ? err : nx_buf_append_slice(out, s);
}

/* What a backtrace needs of a map. */
static nx_err reduce(nx_slice map, nx_buf *out, nx_error *reterr)
{
    nx_json *j = NULL;
    nx_err err = nx_json_parse(map, NX_RT_SOURCE_MAP_BYTES_MAX, &j, reterr);
    if (err) return err;
    nx_slice mappings = nx_json_get_str(j, "mappings");
    const nx_json *sources = nx_json_get(j, "sources");
    if (nx_json_get_u64(j, "version", 0) != 3 || !mappings.p || nx_json_typeof(sources) != NX_JSON_ARRAY) {
        nx_json_free(j);
        return nx_error_set(reterr, NX_EPARSE, "it is no source map of version 3 with `sources` and `mappings`");
    }
    err = nx_buf_append_cstr(out, "{\"version\":3,\"names\":[],\"sources\":");
    if (!err) err = nx_json_dump(sources, out);
    if (!err) err = nx_buf_append_cstr(out, ",\"mappings\":");
    if (!err) err = nx_json_escape(out, mappings);
    if (!err) err = nx_buf_append_char(out, '}');
    nx_json_free(j);
    return err ? nx_error_set(reterr, err, "it is too large") : NX_OK;
}

nx_err nx_rt_source_map_put(nx_slice map, nx_buf *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf payload = NX_BUF_INIT(2 * NX_RT_SOURCE_MAP_BYTES_MAX);
    size_t head = sizeof url_head - 1;
    char *url = malloc(head + 4 * ((map.n + 2) / 3) + 1);
    if (!url) return NX_ENOMEM;
    memcpy(url, url_head, head);
    size_t n = head + nx_base64_encode(map, false, url + head);
    nx_err err = put_bytes(&payload, NX_SLICE("sourceMappingURL"));
    if (!err) err = put_bytes(&payload, nx_slice_make(url, n));
    free(url);
    if (!err) err = nx_buf_append_char(out, 0);
    return err ? err : put_bytes(out, nx_buf_view(&payload));
}

nx_err nx_rt_source_map_embed(nx_slice module, nx_slice map, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf reduced = NX_BUF_INIT(NX_RT_SOURCE_MAP_BYTES_MAX);
    found f;
    if (!find(module, &f) || !f.is_behind_code)
        return nx_error_set(reterr, NX_EMODULE, "the module has no section %s behind its code", section_name);
    nx_err err = reduce(map, &reduced, reterr);
    if (err) return err;
    err = nx_buf_append_slice(out, f.before);
    if (!err) err = nx_rt_source_map_put(nx_buf_view(&reduced), out);
    if (!err) err = nx_buf_append_slice(out, f.behind);
    return err ? nx_error_set(reterr, err, "the module would be too large with it") : NX_OK;
}

/* source_map_embed.c: see nx/rt_source_map.h. */
#include "nx/rt_source_map.h"

#include <stdlib.h>

#include "leb.h"
#include "nx/digest.h"
#include "nx/json.h"
#include "source_map.h"

#define HEAD_BYTES 8u
#define SECTION_CODE 10
static const char section_name[] = "sourceMappingURL";
static const char url_head[] = "data:application/json;base64,";

static bool get_bytes(nx_slice *s, nx_slice *ret)
{
    uint32_t n;
    if (!nx_rt_leb_take(s, &n) || n > s->n) return false;
    *ret = nx_slice_sub(*s, 0, n);
    *s = nx_slice_sub(*s, n, s->n);
    return true;
}

typedef struct found {
    nx_slice before, url, behind; /* before: all up to the section */
    bool is_behind_code;
} found;

static bool find(nx_slice module, found *ret)
{
    bool has_code = false;
    if (module.n < HEAD_BYTES) return false;
    for (nx_slice rest = nx_slice_sub(module, HEAD_BYTES, module.n); rest.n;) {
        nx_slice begin = rest, payload, name;
        uint8_t id = (uint8_t)rest.p[0];
        rest = nx_slice_sub(rest, 1, rest.n);
        if (!get_bytes(&rest, &payload)) return false;
        has_code = has_code || id == SECTION_CODE;
        if (id != 0 || !get_bytes(&payload, &name) || !nx_slice_eq_cstr(name, section_name)) continue;
        *ret = (found){.before = nx_slice_sub(module, 0, module.n - begin.n), .behind = rest, .is_behind_code = has_code};
        return get_bytes(&payload, &ret->url);
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
    nx_err err = nx_rt_leb_put(out, s.n);
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

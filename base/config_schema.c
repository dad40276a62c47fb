/* What editors and people read, generated from the table: nexus.schema.json (JSON Schema 2020-12) and the reference page. */
#include "config_internal.h"

#include <string.h>

#define DURATION_PATTERN "^([0-9]+(\\.[0-9]+)?(d|h|m|s|ms|us|ns))+$"
#define SIZE_PATTERN "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?B?$"
#define ENV_NAME_PATTERN "^(?!EVENT_|NEXUS_|TRACE_ID$|TRACEPARENT$)[A-Za-z_][A-Za-z0-9_]{0,127}$"
#define PAGE_BYTES (1u << 20)

/* ---- schema */

static void put_uint_text(nx_jw *w, const nx_cfg_row *row, const char *key, const char *text)
{
    uint64_t v;
    if (nx_cfg_text_to_uint(row, nx_slice_cstr(text), &v))
        nx_jw_ku64(w, key, v);
}

/* The table's bounds and defaults of decimals are JSON numbers as they stand. */
static void put_number_text(nx_jw *w, const char *key, const char *text)
{
    nx_jw_key(w, key);
    nx_jw_raw(w, nx_slice_cstr(text));
}

static void put_string_schema(nx_jw *w, const nx_cfg_format *f)
{
    nx_jw_kcstr(w, "type", "string");
    if (!f->may_be_empty)
        nx_jw_ku64(w, "minLength", 1);
    nx_jw_ku64(w, "maxLength", f->max_bytes ? f->max_bytes : NX_CFG_STRING_BYTES);
    if (f->pattern)
        nx_jw_kcstr(w, "pattern", f->pattern);
}

static void put_array_schema(nx_jw *w, const nx_cfg_format *f)
{
    nx_jw_kcstr(w, "type", "array");
    nx_jw_ku64(w, "minItems", 1);
    nx_jw_ku64(w, "maxItems", NX_CFG_LIST_MAX);
    nx_jw_kbool(w, "uniqueItems", true);
    nx_jw_key(w, "items");
    nx_jw_object(w);
    put_string_schema(w, f);
    nx_jw_object_end(w);
}

static void put_env_schema(nx_jw *w)
{
    nx_jw_kcstr(w, "type", "object");
    nx_jw_ku64(w, "maxProperties", NX_CFG_KEYS_MAX);
    nx_jw_key(w, "propertyNames");
    nx_jw_object(w);
    nx_jw_kcstr(w, "pattern", ENV_NAME_PATTERN);
    nx_jw_object_end(w);
    nx_jw_key(w, "additionalProperties");
    nx_jw_object(w);
    nx_jw_key(w, "type");
    nx_jw_array(w); /* `PORT: 8080` needs no quotes: the text is taken as written */
    nx_jw_cstr(w, "string");
    nx_jw_cstr(w, "number");
    nx_jw_cstr(w, "boolean");
    nx_jw_array_end(w);
    nx_jw_object_end(w);
}

/* One of the two keys, with a text. */
static void put_secrets_schema(nx_jw *w)
{
    static const char *const keys[] = {"file", "env"};
    nx_jw_kcstr(w, "type", "object");
    nx_jw_ku64(w, "maxProperties", NX_CFG_KEYS_MAX);
    nx_jw_key(w, "propertyNames");
    nx_jw_object(w);
    put_string_schema(w, &nx_cfg_secret_name);
    nx_jw_object_end(w);
    nx_jw_key(w, "additionalProperties");
    nx_jw_object(w);
    nx_jw_kcstr(w, "type", "object");
    nx_jw_ku64(w, "minProperties", 1);
    nx_jw_ku64(w, "maxProperties", 1);
    nx_jw_kbool(w, "additionalProperties", false);
    nx_jw_key(w, "properties");
    nx_jw_object(w);
    for (unsigned i = 0; i < NX_ARRAY_LEN(keys); i++) {
        nx_jw_key(w, keys[i]);
        nx_jw_object(w);
        put_string_schema(w, i ? &nx_cfg_env_name : &nx_cfg_file);
        nx_jw_object_end(w);
    }
    nx_jw_object_end(w);
    nx_jw_object_end(w);
}

static void put_choices(nx_jw *w, const nx_cfg_row *row)
{
    nx_jw_key(w, "enum");
    nx_jw_array(w);
    for (unsigned i = 0; row->choices[i]; i++)
        nx_jw_cstr(w, row->choices[i]);
    nx_jw_array_end(w);
}

static void put_one_or_list(nx_jw *w, const nx_cfg_format *f)
{
    nx_jw_key(w, "oneOf");
    nx_jw_array(w);
    nx_jw_object(w);
    put_string_schema(w, f);
    nx_jw_object_end(w);
    nx_jw_object(w);
    put_array_schema(w, f);
    nx_jw_object_end(w);
    nx_jw_array_end(w);
}

static void put_zoned_schedule(nx_jw *w)
{
    nx_jw_kcstr(w, "type", "object");
    nx_jw_kbool(w, "additionalProperties", false);
    nx_jw_key(w, "required");
    nx_jw_array(w);
    nx_jw_cstr(w, "schedule");
    nx_jw_array_end(w);
    nx_jw_key(w, "properties");
    nx_jw_object(w);
    for (int i = 0; i < 2; i++) {
        nx_jw_key(w, i ? "timezone" : "schedule");
        nx_jw_object(w);
        nx_jw_kcstr(w, "type", "string");
        nx_jw_object_end(w);
    }
    nx_jw_object_end(w);
}

static void put_one_schedule(nx_jw *w, const nx_cfg_format *f)
{
    nx_jw_object(w);
    put_string_schema(w, f);
    nx_jw_object_end(w);
    nx_jw_object(w);
    put_zoned_schedule(w);
    nx_jw_object_end(w);
}

static void put_schedules(nx_jw *w, const nx_cfg_format *f)
{
    nx_jw_key(w, "oneOf");
    nx_jw_array(w);
    put_one_schedule(w, f);
    nx_jw_object(w);
    nx_jw_kcstr(w, "type", "array");
    nx_jw_ku64(w, "minItems", 1);
    nx_jw_key(w, "items");
    nx_jw_object(w);
    nx_jw_key(w, "oneOf");
    nx_jw_array(w);
    put_one_schedule(w, f);
    nx_jw_array_end(w);
    nx_jw_object_end(w);
    nx_jw_object_end(w);
    nx_jw_array_end(w);
}

static void put_default(nx_jw *w, const nx_cfg_row *row)
{
    if (!row->def)
        return;
    if (row->shape == NX_CFG_INT)
        put_uint_text(w, row, "default", row->def);
    else if (row->shape == NX_CFG_DECIMAL)
        put_number_text(w, "default", row->def);
    else if (row->shape == NX_CFG_BOOL)
        nx_jw_kbool(w, "default", strcmp(row->def, "true") == 0);
    else
        nx_jw_kcstr(w, "default", row->def);
}

static void put_description(nx_jw *w, const nx_cfg_row *row, nx_err *err)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4096);
    nx_err e = nx_buf_append_cstr(&text, row->help);
    if (!e && (row->shape == NX_CFG_DURATION || row->shape == NX_CFG_SIZE))
        e = nx_buf_printf(&text, " From %s to %s.", row->min, row->max);
    if (e)
        *err = e;
    nx_jw_kstr(w, "description", nx_buf_view(&text));
}

static void put_object(nx_jw *w, const char *prefix, nx_err *err);

static void put_int_schema(nx_jw *w, const nx_cfg_row *row)
{
    nx_jw_kcstr(w, "type", "integer");
    put_uint_text(w, row, "minimum", row->min);
    put_uint_text(w, row, "maximum", row->max);
}

/* A section, or the short form of one of its keys. */
static void put_section(nx_jw *w, const nx_cfg_row *row, nx_err *err)
{
    const nx_cfg_row *listed = row->list_row ? nx_cfg_row_find(row->list_row) : NULL;
    if (!listed) {
        put_object(w, row->path, err);
        return;
    }
    nx_jw_key(w, "oneOf");
    nx_jw_array(w);
    nx_jw_object(w);
    if (listed->shape == NX_CFG_INT) {
        put_int_schema(w, listed);
    } else {
        put_string_schema(w, listed->format);
        nx_jw_object_end(w);
        nx_jw_object(w);
        put_array_schema(w, listed->format);
    }
    nx_jw_object_end(w);
    nx_jw_object(w);
    put_object(w, row->path, err);
    nx_jw_object_end(w);
    nx_jw_array_end(w);
}

static void put_row(nx_jw *w, const nx_cfg_row *row, nx_err *err)
{
    nx_jw_key(w, nx_cfg_row_key(row));
    nx_jw_object(w);
    put_description(w, row, err);
    switch (row->shape) {
    case NX_CFG_SECTION:
        put_section(w, row, err);
        break;
    case NX_CFG_FUNCTIONS:
        nx_jw_kcstr(w, "type", "array");
        nx_jw_ku64(w, "minItems", 1);
        nx_jw_ku64(w, "maxItems", NX_CONFIG_FUNCTIONS_MAX);
        nx_jw_key(w, "items");
        nx_jw_object(w);
        put_object(w, NX_CFG_IN_FUNCTION, err);
        nx_jw_object_end(w);
        break;
    case NX_CFG_CONST:
    case NX_CFG_ENUM:
        put_choices(w, row);
        break;
    case NX_CFG_STRING:
        put_string_schema(w, row->format);
        break;
    case NX_CFG_DURATION:
        nx_jw_kcstr(w, "type", "string");
        nx_jw_kcstr(w, "pattern", DURATION_PATTERN);
        break;
    case NX_CFG_SIZE:
        nx_jw_key(w, "type");
        nx_jw_array(w);
        nx_jw_cstr(w, "string");
        nx_jw_cstr(w, "integer");
        nx_jw_array_end(w);
        nx_jw_kcstr(w, "pattern", SIZE_PATTERN);
        put_uint_text(w, row, "minimum", row->min);
        put_uint_text(w, row, "maximum", row->max);
        break;
    case NX_CFG_INT:
        put_int_schema(w, row);
        break;
    case NX_CFG_DECIMAL:
        nx_jw_kcstr(w, "type", "number");
        put_number_text(w, "minimum", row->min);
        put_number_text(w, "maximum", row->max);
        break;
    case NX_CFG_BOOL:
        nx_jw_kcstr(w, "type", "boolean");
        break;
    case NX_CFG_LIST:
        put_array_schema(w, row->format);
        break;
    case NX_CFG_ONE_OR_LIST:
        put_one_or_list(w, row->format);
        break;
    case NX_CFG_CRON:
        put_schedules(w, row->format);
        break;
    case NX_CFG_ENV:
        put_env_schema(w);
        break;
    case NX_CFG_SECRETS:
        put_secrets_schema(w);
        break;
    }
    put_default(w, row);
    nx_jw_object_end(w);
}

/* Depth is that of the table's paths. */
static void put_object(nx_jw *w, const char *prefix, nx_err *err)
{
    bool has_required = false;
    nx_jw_kcstr(w, "type", "object");
    nx_jw_kbool(w, "additionalProperties", false);
    for (unsigned i = 0; i < nx_cfg_n_rows; i++)
        has_required |= nx_cfg_rows[i].is_required && nx_cfg_row_is_child_of(&nx_cfg_rows[i], prefix);
    if (has_required) {
        nx_jw_key(w, "required");
        nx_jw_array(w);
        for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
            if (nx_cfg_rows[i].is_required && nx_cfg_row_is_child_of(&nx_cfg_rows[i], prefix))
                nx_jw_cstr(w, nx_cfg_row_key(&nx_cfg_rows[i]));
        }
        nx_jw_array_end(w);
    }
    if (strcmp(prefix, NX_CFG_IN_FUNCTION ".on") == 0)
        nx_jw_ku64(w, "minProperties", 1);
    nx_jw_key(w, "properties");
    nx_jw_object(w);
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        if (nx_cfg_row_is_child_of(&nx_cfg_rows[i], prefix))
            put_row(w, &nx_cfg_rows[i], err);
    }
    nx_jw_object_end(w);
}

static nx_err new_line(nx_buf *out, unsigned depth)
{
    nx_err err = nx_buf_append_char(out, '\n');
    for (unsigned i = 0; i < depth && !err; i++)
        err = nx_buf_append_cstr(out, "  ");
    return err;
}

/* Compact JSON, laid out for people: the file is read and compared by them. */
static nx_err indent_json(nx_slice json, nx_buf *out)
{
    nx_err err = NX_OK;
    unsigned depth = 0;
    bool is_text = false;
    for (size_t i = 0; i < json.n && !err; i++) {
        char c = json.p[i];
        if (is_text) {
            err = nx_buf_append_char(out, c);
            if (c == '\\' && !err)
                err = nx_buf_append_char(out, json.p[++i]);
            is_text = c != '"';
            continue;
        }
        is_text = c == '"';
        if (c == '}' || c == ']')
            err = new_line(out, --depth);
        if (!err)
            err = nx_buf_append_char(out, c);
        if (!err && (c == '{' || c == '['))
            err = new_line(out, ++depth);
        else if (!err && c == ',')
            err = new_line(out, depth);
        else if (!err && c == ':')
            err = nx_buf_append_char(out, ' ');
    }
    return err ? err : nx_buf_append_char(out, '\n');
}

nx_err nx_config_schema_json(nx_buf *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf compact = NX_BUF_INIT(PAGE_BYTES);
    nx_jw w = NX_JW_INIT(&compact);
    nx_err err = NX_OK;
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    nx_jw_kcstr(&w, "$id", "nexus.schema.json");
    nx_jw_kcstr(&w, "title", "nexus.yaml");
    nx_jw_kcstr(&w, "description", "Configuration of a Nexus Functions project, version v1.");
    put_object(&w, "", &err);
    nx_jw_object_end(&w);
    if (!err)
        err = nx_jw_err(&w);
    return err ? err : indent_json(nx_buf_view(&compact), out);
}

/* ---- reference */

static nx_err append_value(const nx_cfg_row *row, nx_buf *out)
{
    nx_err err = NX_OK;
    const nx_cfg_row *listed = row->list_row ? nx_cfg_row_find(row->list_row) : NULL;
    switch (row->shape) {
    case NX_CFG_SECTION:
        if (listed && listed->shape == NX_CFG_INT)
            return nx_buf_printf(out, "%s, %s to %s, or a mapping", listed->unit, listed->min, listed->max);
        return nx_buf_append_cstr(out, listed ? "mapping, or a list" : "mapping");
    case NX_CFG_FUNCTIONS:
        return nx_buf_append_cstr(out, "list of functions");
    case NX_CFG_CONST:
    case NX_CFG_ENUM:
        for (unsigned i = 0; row->choices[i] && !err; i++)
            err = nx_buf_printf(out, "%s`%s`", i ? ", " : "", row->choices[i]);
        return err;
    case NX_CFG_STRING:
        return nx_buf_append_cstr(out, row->format->noun);
    case NX_CFG_DURATION:
        return nx_buf_printf(out, "duration, %s to %s", row->min, row->max);
    case NX_CFG_SIZE:
        return nx_buf_printf(out, "size, %s to %s", row->min, row->max);
    case NX_CFG_INT:
    case NX_CFG_DECIMAL:
        return nx_buf_printf(out, "%s, %s to %s", row->unit, row->min, row->max);
    case NX_CFG_BOOL:
        return nx_buf_append_cstr(out, "`true`, `false`");
    case NX_CFG_LIST:
        return nx_buf_printf(out, "list; each %s", row->format->noun);
    case NX_CFG_ONE_OR_LIST:
    case NX_CFG_CRON:
        return nx_buf_printf(out, "%s, or a list", row->format->noun);
    case NX_CFG_ENV:
        return nx_buf_append_cstr(out, row->format == &nx_cfg_env_value ? "mapping of names to texts" : "mapping of names to names");
    case NX_CFG_SECRETS:
        return nx_buf_append_cstr(out, "mapping of names to places");
    }
    return err;
}

static nx_err append_reference_row(const nx_cfg_row *row, nx_buf *out)
{
    char env_name[NX_CFG_ENV_NAME_BYTES];
    const char *name = nx_cfg_row_is_function(row) ? row->path + sizeof NX_CFG_IN_FUNCTION : row->path;
    nx_err err = nx_buf_printf(out, "| `%s` | ", name);
    if (!err)
        err = append_value(row, out);
    const char *def = row->list_row ? nx_cfg_row_find(row->list_row)->def : row->def;
    if (!err && def)
        err = nx_buf_printf(out, " | `%s`", def);
    else if (!err)
        err = nx_buf_append_cstr(out, row->is_required ? " | *required*" : " |");
    if (!err && !nx_cfg_row_is_function(row))
        err = nx_cfg_row_env_name(row, env_name) ? nx_buf_printf(out, " | `%s`", env_name) : nx_buf_append_cstr(out, " |");
    return err ? err : nx_buf_printf(out, " | %s |\n", row->help);
}

/* "`name`, `log.level`, …": what a running node takes. */
static nx_err append_live_keys(nx_buf *out)
{
    nx_err err = nx_buf_append_cstr(out, "- A running node takes changes of ");
    unsigned n = 0;
    for (unsigned i = 0; i < nx_cfg_n_rows && !err; i++)
        if (nx_cfg_rows[i].is_live)
            err = nx_buf_printf(out, "%s`%s`", n++ ? ", " : "", nx_cfg_rows[i].path);
    return err ? err : nx_buf_append_cstr(out, "\n  at once (`nexus dev`: on a save, `nexus serve`: on SIGHUP). It names other keys that changed; they wait for its next start.\n\n");
}

static const char reference_head[] =
    "# Reference of `nexus.yaml`\n"
    "\n"
    "This page and [nexus.schema.json](nexus.schema.json) are generated from the table that also parses the file\n"
    "(`nexus schema`); a test compares them.\n"
    "\n"
    "- A *duration* is a number with a unit: `250ms`, `5s`, `1m30s`, `2h`, `7d`.\n"
    "- A *size* is a number of bytes, or one with a unit: `64Ki`, `128Mi`, `4Gi` (binary), `500k`, `10M`, `1G` (decimal).\n"
    "- Relative paths start at the folder of the file in which they stand; in flags and variables, at the current folder.\n"
    "- A plain number or boolean where text is expected is taken as it is written.\n"
    "- Anchors, aliases, merge keys, tags, directives, indentation indicators (`|2`) and further documents of YAML are refused:\n"
    "  no setting needs them, and a small file cannot become a large one. JSON is accepted as well. A file has at most 1 MiB\n"
    "  and 16 levels.\n"
    "- Settings of the node come, strongest first, from flags, `NEXUS_…` variables, the project's `nexus.yaml`, the user's\n"
    "  `~/.config/nexus/config.yaml` (without `name` and `functions`), and the defaults. An empty variable is one that is not set.\n";

nx_err nx_config_reference_md(nx_buf *out)
{
    nx_err err = nx_buf_append_cstr(out, reference_head);
    if (!err)
        err = append_live_keys(out);
    if (!err)
        err = nx_buf_append_cstr(out, "## Project and node\n\n| key | value | default | variable | meaning |\n| --- | --- | --- | --- | --- |\n");
    for (unsigned i = 0; i < nx_cfg_n_rows && !err; i++) {
        if (!nx_cfg_row_is_function(&nx_cfg_rows[i]))
            err = append_reference_row(&nx_cfg_rows[i], out);
    }
    if (!err)
        err = nx_buf_append_cstr(out, "\n## `functions[]`\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for (unsigned i = 0; i < nx_cfg_n_rows && !err; i++) {
        if (nx_cfg_row_is_function(&nx_cfg_rows[i]))
            err = append_reference_row(&nx_cfg_rows[i], out);
    }
    return err;
}

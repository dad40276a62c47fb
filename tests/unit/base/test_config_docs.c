/* The generated documents in docs/ are what the table says today, and a schema that a validator can use.
 * NX_UPDATE_DOCS=1 writes them instead of comparing. */
#include "config_help.h"

#include "config_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_document(const char *name, nx_err (*make)(nx_buf *out))
{
    char path[1024];
    const char *source = getenv("NX_SOURCE_DIR");
    nx_buf made = NX_BUF_INIT(1u << 20), there = NX_BUF_INIT(1u << 20);
    snprintf(path, sizeof path, "%s/docs/%s", source && *source ? source : NX_TEST_SOURCE_DIR, name);
    assert_int_equal(make(&made), NX_OK);
    if (getenv("NX_UPDATE_DOCS")) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(made.p, 1, made.n, f), made.n);
        assert_int_equal(fclose(f), 0);
    }
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing; NX_UPDATE_DOCS=1 writes it", path);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) assert_int_equal(nx_buf_append(&there, chunk, n), NX_OK);
    fclose(f);
    if (!nx_slice_eq(nx_buf_view(&made), nx_buf_view(&there))) fail_msg("%s is not what the table makes; NX_UPDATE_DOCS=1 writes it", path);
    nx_buf_done(&made);
    nx_buf_done(&there);
}

static void test_config_schema_file(void **state)
{
    (void)state;
    check_document("nexus.schema.json", nx_config_schema_json);
}

static void test_config_reference_file(void **state)
{
    (void)state;
    check_document("CONFIG_REFERENCE.md", nx_config_reference_md);
}

/* The mapping among the forms that a value may have; the last one where there are several. */
static const nx_json *mapping_of(const nx_json *row)
{
    const nx_json *forms = nx_json_get(row, "oneOf");
    return forms ? nx_json_at(forms, nx_json_len(forms) - 1) : row;
}

/* Where the schema describes a row: properties of properties. */
static const nx_json *schema_of(const nx_json *schema, const char *path)
{
    const nx_json *at = schema;
    for (nx_slice rest = nx_slice_cstr(path); rest.n;) {
        char key[64];
        nx_slice part = nx_slice_split(rest, '.', &rest);
        bool is_list = nx_slice_ends(part, NX_SLICE("[]"));
        if (is_list) part.n -= 2;
        assert_int_equal(nx_slice_to_cstr(part, key, sizeof key), NX_OK);
        at = nx_json_get(nx_json_get(mapping_of(at), "properties"), key);
        if (is_list) at = nx_json_get(at, "items");
    }
    return at;
}

static void test_config_schema_has_every_row(void **state)
{
    (void)state;
    nx_buf text = NX_BUF_INIT(1u << 20);
    nx_json *schema = NULL;
    assert_int_equal(nx_config_schema_json(&text), NX_OK);
    assert_int_equal(nx_json_parse(nx_buf_view(&text), 1u << 20, &schema, NULL), NX_OK);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(schema, "$schema"), "https://json-schema.org/draft/2020-12/schema"));
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_json *row = schema_of(schema, nx_cfg_rows[i].path);
        if (!row) fail_msg("%s is not in the schema", nx_cfg_rows[i].path);
        assert_true(nx_json_get_str(row, "description").n > 0);
        assert_true((nx_json_get(row, "default") != NULL) == (nx_cfg_rows[i].def != NULL));
        if (nx_cfg_rows[i].shape == NX_CFG_SECTION) assert_false(nx_json_get_bool(mapping_of(row), "additionalProperties", true));
        if (nx_cfg_rows[i].choices) assert_true(nx_json_len(nx_json_get(row, "enum")) > 0);
    }
    assert_false(nx_json_get_bool(schema, "additionalProperties", true));
    assert_int_equal(nx_json_len(nx_json_get(schema, "required")), 2);
    nx_json_free(schema);
    nx_buf_done(&text);
}

/* Defaults, bounds and examples of the table pass its own checks. */
static void test_config_table_is_sound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        uint64_t min, max, def;
        assert_true(row->help && row->help[0]);
        assert_ptr_equal(nx_cfg_row_find(row->path), row); /* no path twice */
        if (row->min) {
            assert_true(nx_cfg_text_to_uint(row, nx_slice_cstr(row->min), &min));
            assert_true(nx_cfg_text_to_uint(row, nx_slice_cstr(row->max), &max));
            assert_true(row->def || row->is_required);
            if (row->def) {
                assert_true(nx_cfg_text_to_uint(row, nx_slice_cstr(row->def), &def));
                assert_true(min <= def && def <= max);
            }
            if (row->width == 4) assert_true(max <= UINT32_MAX);
            else assert_int_equal(row->width, 8);
        }
        if (row->format) {
            assert_true(row->def || row->example);
            nx_cfg_why why = {{0}, {0}};
            if (row->def && row->format->check && !row->format->check(nx_slice_cstr(row->def), &why)) fail_msg("%s: %s", row->path, why.reason);
            if (row->shape == NX_CFG_STRING && row->example && row->format->check && !row->format->check(nx_slice_cstr(row->example), &why))
                fail_msg("%s: %s", row->path, why.reason);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_table_is_sound),
        cmocka_unit_test(test_config_schema_has_every_row),
        cmocka_unit_test(test_config_schema_file),
        cmocka_unit_test(test_config_reference_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

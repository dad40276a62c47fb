/* Any bytes as nexus.yaml: an answer, bounded, and either a configuration or problems that can be shown.
 * What is accepted survives the way through the stored form of a version. */
#include "nx/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition) abort();
}

static void check_issues(const nx_config_issues *all)
{
    nx_buf out = NX_BUF_INIT(1u << 20);
    expect(all->n > 0 && all->n <= NX_CONFIG_ISSUES_MAX);
    for (unsigned i = 0; i < all->n; i++) {
        expect(all->v[i].reason[0] != '\0');
        expect(nx_slice_is_utf8(nx_slice_cstr(all->v[i].reason)) && nx_slice_is_utf8(nx_slice_cstr(all->v[i].suggestion)));
        expect(nx_slice_is_utf8(nx_slice_cstr(all->v[i].path)));
    }
    expect(nx_config_issues_text(all, &out) == NX_OK);
    nx_buf_clear(&out);
    expect(nx_config_issues_json(all, &out) == NX_OK);
    nx_buf_done(&out);
}

static void stored_form(const nx_fn_config *f, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    expect(nx_fn_config_to_json(f, &w) == NX_OK);
}

static void check_stored(const nx_fn_config *f)
{
    nx_buf file = NX_BUF_INIT(4u << 20), again = NX_BUF_INIT(4u << 20);
    nx_config *c = NULL;
    expect(nx_buf_append_cstr(&file, "{\"version\":\"v1\",\"functions\":[") == NX_OK);
    size_t from = file.n;
    stored_form(f, &file);
    size_t n = file.n - from;
    expect(nx_buf_append_cstr(&file, "]}") == NX_OK);
    if (file.n <= NX_CONFIG_FILE_BYTES) { /* escapes may make it larger than its source */
        expect(nx_config_parse(nx_buf_view(&file), "stored", "/", NX_CONFIG_STORED, &c, NULL, NULL) == NX_OK);
        stored_form(&c->functions[0], &again);
        expect(nx_slice_eq(nx_buf_view(&again), nx_slice_make(file.p + from, n)));
    }
    nx_config_unref(c);
    nx_buf_done(&file);
    nx_buf_done(&again);
}

/* Stored settings are read as JSON, unless they go over two lines: then by the YAML parser, and it has to come to the same. */
static void check_both_readers(nx_slice text)
{
    nx_buf lines = NX_BUF_INIT(1u << 20), forms[2] = {NX_BUF_INIT(4u << 20), NX_BUF_INIT(4u << 20)};
    nx_config *c[2] = {NULL, NULL};
    if (text.n + 1 > NX_CONFIG_FILE_BYTES || nx_buf_append_slice(&lines, text) != NX_OK || nx_buf_append_cstr(&lines, "\n") != NX_OK) goto done;
    nx_err as_json = nx_config_parse(text, "stored", "/", NX_CONFIG_STORED, &c[0], NULL, NULL);
    nx_err as_yaml = nx_config_parse(nx_buf_view(&lines), "stored", "/", NX_CONFIG_STORED, &c[1], NULL, NULL);
    expect(as_json == as_yaml);
    for (unsigned k = 0; k < 2 && c[k]; k++)
        for (unsigned i = 0; i < c[k]->n_functions && i < 16; i++) stored_form(&c[k]->functions[i], &forms[k]);
    expect(nx_slice_eq(nx_buf_view(&forms[0]), nx_buf_view(&forms[1])));
done:
    nx_buf_done(&lines);
    for (unsigned k = 0; k < 2; k++) {
        nx_config_unref(c[k]);
        nx_buf_done(&forms[k]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_config *c = NULL;
    nx_config_issues issues = {0};
    nx_error e = NX_ERROR_INIT;
    unsigned flags = size > 0 && data[size - 1] % 2 ? NX_CONFIG_NO_FUNCTIONS : 0;
    nx_err err = nx_config_parse(nx_slice_make(data, size), "fuzz.yaml", "/", flags, &c, &issues, &e);
    expect(err == NX_OK || err == NX_EINVAL);
    expect((err == NX_OK) == (c != NULL));
    if (err) check_issues(&issues);
    for (unsigned i = 0; c && i < c->n_functions && i < 16; i++) check_stored(&c->functions[i]);
    nx_config_unref(c);
    nx_config_issues_done(&issues);
    if (size > 0 && data[0] == '{') check_both_readers(nx_slice_make(data, size));
    return 0;
}

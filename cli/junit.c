/* junit.c: JUnit's XML: one suite, its cases, and why they failed. */
#include "junit.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define REPORT_BYTES (64u << 20)

struct nx_junit {
    const char *suite;
    nx_buf cases;
    nx_err err;
    unsigned n, failed, broken;
    double ms;
};

nx_junit *nx_junit_new(const char *suite)
{
    nx_junit *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->suite = suite;
    nx_buf_init(&j->cases, REPORT_BYTES);
    return j;
}

void nx_junit_free(nx_junit *j)
{
    if (!j)
        return;
    nx_buf_done(&j->cases);
    free(j);
}

static void raw(nx_junit *j, const char *text)
{
    if (!j->err)
        j->err = nx_buf_append_cstr(&j->cases, text);
}

/* XML 1.0 has no way to write most control characters; bytes that are no UTF-8 end a document for its reader. */
static void escaped(nx_junit *j, nx_slice s)
{
    for (size_t i = 0; i < s.n && !j->err;) {
        size_t k = nx_utf8_len(nx_slice_sub(s, i, s.n));
        char c = s.p[i];
        if (k > 1)
            j->err = nx_buf_append(&j->cases, s.p + i, k);
        else if (k == 0 || ((unsigned char)c < ' ' && c != '\n' && c != '\t'))
            raw(j, "\xEF\xBF\xBD");
        else if (c == '<')
            raw(j, "&lt;");
        else if (c == '&')
            raw(j, "&amp;");
        else if (c == '"')
            raw(j, "&quot;");
        else if (c == '\n')
            raw(j, "&#10;");
        else
            j->err = nx_buf_append_char(&j->cases, c);
        i += k ? k : 1;
    }
}

void nx_junit_case(nx_junit *j, nx_slice class_name, const char *name, const char *result, nx_slice why, double ms)
{
    char seconds[32];
    bool is_failed = strcmp(result, "failed") == 0, is_broken = strcmp(result, "broken") == 0;
    j->n++;
    j->failed += is_failed;
    j->broken += is_broken;
    j->ms += ms;
    snprintf(seconds, sizeof seconds, "%.6f", ms / 1000);
    raw(j, "  <testcase classname=\"");
    escaped(j, class_name);
    raw(j, "\" name=\"");
    escaped(j, nx_slice_cstr(name));
    raw(j, "\" time=\"");
    raw(j, seconds);
    if (!is_failed && !is_broken) {
        raw(j, "\"/>\n");
        return;
    }
    raw(j, is_failed ? "\">\n    <failure message=\"" : "\">\n    <error message=\"");
    escaped(j, why);
    raw(j, "\"/>\n  </testcase>\n");
}

nx_err nx_junit_write(nx_junit *j, const char *path, nx_error *reterr)
{
    if (j->err)
        return nx_error_set(reterr, j->err, "%s: the report does not fit into memory", path);
    FILE *f = fopen(path, "we");
    if (!f)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"%s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" time=\"%.6f\">\n",
            j->suite, j->n, j->failed, j->broken, j->ms / 1000);
    if (j->cases.n)
        (void)fwrite(j->cases.p, 1, j->cases.n, f);
    fputs("</testsuite>\n</testsuites>\n", f);
    bool is_written = !ferror(f);
    if (fclose(f) != 0 || !is_written)
        return nx_error_set(reterr, NX_EIO, "%s: %s", path, strerror(errno));
    return NX_OK;
}

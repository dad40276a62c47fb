/* JSON: our scanner and jansson have to agree on what is JSON, and what is written has to be read back. */
#include <stdint.h>
#include <stdlib.h>

#include "json_scan.h"
#include "nx/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true) abort();
}

/* Any bytes as a string: escaped, scanned and unescaped they are themselves, where they are UTF-8. */
static void string_round_trip(nx_slice s)
{
    nx_buf b = NX_BUF_INIT(SIZE_MAX);
    if (nx_json_escape(&b, s) == NX_OK) {
        nx_json_scan scan = {b.p, b.p + b.n};
        require(nx_json_scan_document(&scan) == NX_OK);
        char *back = malloc(b.n);
        size_t n;
        if (back) {
            require(nx_json_unescape(nx_slice_make(b.p + 1, b.n - 2), back, &n) == NX_OK);
            require(!nx_slice_is_utf8(s) || nx_slice_eq(s, nx_slice_make(back, n)));
        }
        free(back);
    }
    nx_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_slice text = nx_slice_make(data, size), member;
    nx_json_scan scan = {text.p, text.p ? text.p + text.n : NULL};
    nx_err scanned = nx_json_scan_document(&scan);
    nx_json *j = NULL;
    nx_error err = NX_ERROR_INIT;
    nx_err parsed = nx_json_parse(text, SIZE_MAX, &j, &err);
    require(parsed == NX_OK ? scanned == NX_OK : parsed == NX_EPARSE || parsed == NX_ELIMIT);
    require(scanned != NX_ELIMIT || parsed == NX_ELIMIT);
    nx_err found = nx_json_member_bytes(text, NX_SLICE("data"), &member);
    if (found == NX_OK) {
        nx_json_scan value = {member.p, member.p + member.n};
        require(nx_json_scan_value(&value) == NX_OK && value.p == value.end);
        require(member.p >= text.p && member.p + member.n <= text.p + text.n);
        require(parsed != NX_OK || nx_json_get(j, "data") != NULL);
    }
    if (parsed == NX_OK) {
        require(found != NX_ENOENT || nx_json_get(j, "data") == NULL);
        nx_buf b = NX_BUF_INIT(SIZE_MAX);
        if (nx_json_dump(j, &b) == NX_OK) {
            nx_json_scan dumped = {b.p, b.p + b.n};
            require(nx_json_scan_document(&dumped) == NX_OK);
        }
        nx_buf_done(&b);
    }
    nx_json_free(j);
    string_round_trip(text);
    return 0;
}

/* Paths into JSON and differences of documents. The input is three texts with NUL bytes between them: a path, a document, another document.
 * What is set at a path must be found there by a difference, and a document never differs from itself. */
#include <stdint.h>
#include <stdlib.h>

#include "json_scan.h"
#include "nx/json_diff.h"
#include "nx/json_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true) abort();
}

static bool is_json(nx_slice s)
{
    nx_json_scan scan = {s.p, s.p ? s.p + s.n : NULL};
    return nx_json_scan_document(&scan) == NX_OK;
}

static void set_and_look(nx_slice path_text, nx_slice document)
{
    nx_arena a = NX_ARENA_INIT(8 << 20);
    nx_buf out = NX_BUF_INIT(4 << 20), printed = NX_BUF_INIT(1 << 20);
    nx_json_path path, again;
    nx_json_changes changes;
    nx_slice value = NX_SLICE("\"a value that no document has\"");
    if (nx_json_path_parse(path_text, &a, &path, NULL) == NX_OK) {
        for (unsigned i = 0; i < path.n; i++) require(nx_json_step_print(&path.steps[i], i == 0, &printed) == NX_OK);
        require(nx_json_path_parse(nx_buf_view(&printed), &a, &again, NULL) == NX_OK && again.n == path.n);
        if (nx_json_path_set(document, &path, 0, value, &out, NULL) == NX_OK && is_json(nx_buf_view(&out)) && is_json(document))
            if (nx_json_diff(document, nx_buf_view(&out), 10, &a, &changes) == NX_OK && !memmem(document.p, document.n, value.p, value.n))
                require(changes.total == 1);
    }
    nx_buf_done(&out);
    nx_buf_done(&printed);
    nx_arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_slice rest = nx_slice_make(data, size);
    nx_slice path = nx_slice_split(rest, 0, &rest), one = nx_slice_split(rest, 0, &rest), other = rest;
    nx_arena a = NX_ARENA_INIT(8 << 20);
    nx_json_changes changes;
    set_and_look(path, one);
    if (nx_json_diff(one, other, 50, &a, &changes) == NX_OK) {
        require(is_json(one) && is_json(other) && changes.n <= 50 && changes.n <= changes.total);
        for (unsigned i = 0; i < changes.n; i++) {
            require(changes.v[i].kind == NX_CHANGE_ADDED || is_json(changes.v[i].before));
            require(changes.v[i].kind == NX_CHANGE_REMOVED || is_json(changes.v[i].after));
        }
    }
    nx_arena_reset(&a);
    if (nx_json_diff(one, one, 50, &a, &changes) == NX_OK) require(changes.total == 0);
    nx_arena_done(&a);
    return 0;
}

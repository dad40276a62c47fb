/* Redaction: the first line is a path, the rest an event's data. Whatever they are, data keeps its length and stays JSON where it was, covering twice
 * is covering once, and a covered text keeps its length. */
#include <stdint.h>
#include <stdlib.h>

#include "nx/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true) abort();
}

static bool is_json(nx_slice s)
{
    nx_json *j = NULL;
    bool is_good = nx_json_parse(s, SIZE_MAX, &j, NULL) == NX_OK;
    nx_json_free(j);
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_redaction found; /* large */
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_slice rest, path = nx_slice_split(nx_slice_make(data, size), '\n', &rest), covered;
    nx_event e = {.data = rest, .subject = NX_SLICE("the subject")}, copy = e;
    unsigned n, again;
    bool is_path = nx_redact_path_check(path, NULL) == NX_OK;
    nx_err err = nx_redaction_of(&e, &path, 1, &a, &found);
    require(is_path ? err == NX_OK || err == NX_ENOMEM : err != NX_OK);
    if (err == NX_OK) {
        require(nx_redact_text(&found, rest, &a, &covered) == NX_OK);
        require(covered.n == rest.n);
        err = nx_redact_event(&copy, &path, 1, &a, &n);
        require(err == NX_OK || err == NX_ELIMIT || err == NX_ENOMEM);
    }
    if (err == NX_OK && copy.data.n) {
        require(copy.data.n == rest.n);
        if (is_json(rest)) require(is_json(copy.data));
        nx_event twice = copy;
        require(nx_redact_event(&twice, &path, 1, &a, &again) == NX_OK);
        require(nx_slice_eq(twice.data, copy.data));
    }
    nx_arena_done(&a);
    return 0;
}

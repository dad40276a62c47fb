/* Structured CloudEvents: whatever is accepted is valid, and goes through our JSON form without losing a byte of its data. */
#include <stdint.h>
#include <stdlib.h>

#include "nx/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true) abort();
}

static void header_round_trip(nx_slice value, nx_arena *a)
{
    nx_buf b = NX_BUF_INIT(SIZE_MAX);
    nx_slice back;
    require(nx_event_header_encode(value, &b) == NX_OK);
    require(nx_event_header_decode(nx_buf_view(&b), a, &back) == NX_OK && nx_slice_eq(back, value));
    nx_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_event e, again; /* large */
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_buf json = NX_BUF_INIT(SIZE_MAX);
    nx_error err = NX_ERROR_INIT;
    memset(&e, 0, sizeof e);
    if (nx_event_from_json(nx_slice_make(data, size), &a, &e, &err) == NX_OK) {
        require(nx_event_validate(&e, NULL) == NX_OK);
        require(nx_event_to_json(&e, &json) == NX_OK);
        memset(&again, 0, sizeof again);
        require(nx_event_from_json(nx_buf_view(&json), &a, &again, &err) == NX_OK);
        require(nx_slice_eq(e.data, again.data) && nx_slice_eq(e.id, again.id) && nx_slice_eq(e.source, again.source));
        require(nx_slice_eq(e.type, again.type) && nx_slice_eq(e.subject, again.subject) && nx_slice_eq(e.time, again.time));
        require(e.n_ext == again.n_ext && nx_slice_eq(e.partition_key, again.partition_key));
        for (unsigned i = 0; i < e.n_ext; i++) require(nx_slice_eq(e.ext[i].value, again.ext[i].value));
        header_round_trip(e.id, &a);
        header_round_trip(e.type, &a);
    }
    nx_slice decoded;
    if (nx_event_header_decode(nx_slice_make(data, size), &a, &decoded) == NX_OK) {
        require(nx_slice_is_utf8(decoded));
        if (nx_slice_eq(nx_slice_trim(decoded), decoded)) header_round_trip(decoded, &a);
    }
    nx_buf_done(&json);
    nx_arena_done(&a);
    return 0;
}

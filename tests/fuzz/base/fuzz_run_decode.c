/* Run records: any bytes are refused or read; what was read is written and read again to the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "nx/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_run run, again; /* large */
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_buf first = NX_BUF_INIT(SIZE_MAX), second = NX_BUF_INIT(SIZE_MAX);
    nx_error err = NX_ERROR_INIT;
    nx_err rc = nx_run_decode(nx_slice_make(data, size), &a, &run, &err);
    require(rc == NX_OK || rc == NX_ECORRUPT);
    require(rc == NX_OK || err.msg[0]);
    if (rc == NX_OK) {
        require(nx_run_encode(&run, &first) == NX_OK);
        require(nx_run_decode(nx_buf_view(&first), &a, &again, &err) == NX_OK);
        require(nx_run_encode(&again, &second) == NX_OK);
        require(nx_slice_eq(nx_buf_view(&first), nx_buf_view(&second)));
        nx_buf json = NX_BUF_INIT(SIZE_MAX);
        nx_jw w = NX_JW_INIT(&json);
        require(nx_run_to_json(&run, true, &w) == NX_OK);
        nx_buf_done(&json);
    }
    nx_buf_done(&first);
    nx_buf_done(&second);
    nx_arena_done(&a);
    return 0;
}

/* fuzz_module.c: bytes as a module: read, checked, described as JSON that parses, or refused with a reason. */
#include <stdlib.h>

#include "nx/rt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_buf out = NX_BUF_INIT(16u << 20);
    nx_jw w = NX_JW_INIT(&out);
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_rt_inspect(nx_slice_make(data, size), NULL, &w, &e);
    if (err == NX_OK) {
        nx_json *j;
        if (nx_json_parse(nx_buf_view(&out), 16u << 20, &j, &e)) abort();
        nx_json_free(j);
    } else if (!e.msg[0]) {
        abort();
    }
    nx_buf_done(&out);
    return 0;
}

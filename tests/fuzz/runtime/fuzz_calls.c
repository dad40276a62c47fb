/* fuzz_calls.c: two host-call traces out of stored records, compared: a difference in words, none, or damaged. First byte: where the second begins. */
#include <stdlib.h>

#include "nx/rt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    size_t cut = data[0] * (size - 1) / 255;
    nx_buf text_a = NX_BUF_INIT(1u << 16), text_b = NX_BUF_INIT(1u << 16);
    int64_t index = -2;
    nx_err err = nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_slice_make(data + 1, cut)}, &(nx_rt_trace){.calls = nx_slice_make(data + 1 + cut, size - 1 - cut)}, false, &index, &text_a, &text_b);
    if (err != NX_OK && err != NX_ECORRUPT) abort();
    if (err == NX_OK && index < -1) abort();
    nx_buf_done(&text_a);
    nx_buf_done(&text_b);
    return 0;
}

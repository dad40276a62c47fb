/* fuzz_wasi.c: sequences of host calls with hostile arguments over a guest memory that ends where the sanitizers look.
 * Input: first byte limits, then calls: function, and for each parameter a tag and a value drawn from the interesting ones or from the input.
 * What is left of the input when a call begins is also the guest's memory, so that vectors and subscriptions are hostile too. */
#include <stdlib.h>

#include "bytes.h"
#include "wasi/table.h"

#define MEM_BYTES 8192u
#define CALLS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t take_value(nx_rt_bytes *in, char type)
{
    static const uint64_t interesting[] = {0, 1, 2, 3, 8, MEM_BYTES - 8, MEM_BYTES - 1, MEM_BYTES, MEM_BYTES + 1, 0x7fffffff, 0x80000000,
                                           0xfffffff0, 0xffffffff, 1024, 1025, 256};
    uint8_t tag = nx_rt_take_byte(in);
    uint64_t v;
    if (tag < 64) v = interesting[tag % 16];
    else if (tag < 192) v = (uint64_t)(nx_rt_take_byte(in) << 8 | nx_rt_take_byte(in)) % MEM_BYTES;
    else v = (uint64_t)nx_rt_take_byte(in) << 56 | (uint64_t)nx_rt_take_byte(in) << 24 | nx_rt_take_byte(in);
    return type == 'l' ? v : (uint32_t)v;
}

static void on_log(nx_attempt *a, nx_slice line)
{
    (void)a;
    if (line.n > NX_RT_LINE_BYTES) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_rt_scratch *scratch;
    static const nx_kv env[] = {{{"A", 1}, {"b", 1}}};
    nx_rt_bytes in = nx_rt_bytes_of(nx_slice_make(data, size));
    nx_attempt a;
    nx_rt_world w;
    uint8_t *mem = malloc(MEM_BYTES);
    if (!scratch) scratch = nx_rt_scratch_new();
    if (!mem || !scratch) abort();
    memset(mem, 0, MEM_BYTES);
    nx_attempt_init(&a);
    uint8_t limits = nx_rt_take_byte(&in);
    a.max_output_bytes = (uint64_t)limits << 8;
    a.max_log_bytes = (uint64_t)limits << 6;
    a.max_calls_bytes = (uint64_t)limits << 4;
    a.keep_logs = limits & 1;
    a.is_replay = limits & 2;
    a.scratch_bytes = limits & 8 ? 64u << 10 : 0;
    a.on_log = on_log;
    a.env = env;
    a.n_env = 1;
    a.input = nx_slice_make(data, size);
    nx_rt_world_init(&w, &a, scratch);
    for (unsigned i = 0; i < CALLS_MAX && in.p < in.end && !w.end; i++) {
        const nx_rt_wasi_fn *fn = &nx_rt_wasi_fns[nx_rt_take_byte(&in) % nx_rt_wasi_n_fns];
        uint64_t args[NX_RT_WASI_PARAMS_MAX] = {0};
        for (unsigned k = 0; fn->params[k]; k++) args[k] = take_value(&in, fn->params[k]);
        size_t at = nx_rt_take_byte(&in) % 64;
        size_t left = (size_t)(in.end - in.p);
        if (left) memcpy(mem + at, in.p, left < MEM_BYTES - at ? left : MEM_BYTES - at);
        uint8_t wasi_errno = nx_rt_wasi_call(&w, fn, limits & 4 ? mem : NULL, limits & 4 ? MEM_BYTES : 0, args);
        if ((wasi_errno == NX_WASI_END) != (w.end != NX_RT_END_NONE)) abort();
    }
    nx_rt_world_finish(&w);
    nx_rt_world_done(&w);
    /* What was written down can be read. */
    NX_CLEANUP(nx_buf_done)
    nx_buf text_a = NX_BUF_INIT(1u << 16);
    NX_CLEANUP(nx_buf_done)
    nx_buf text_b = NX_BUF_INIT(1u << 16);
    int64_t index;
    if (nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_buf_view(&a.out.calls)}, &(nx_rt_trace){.calls = NX_SLICE_NULL}, false, &index, &text_a, &text_b)) abort();
    if (a.out.output_bytes > a.max_output_bytes || a.out.logs.n > a.max_log_bytes || a.out.calls.n > a.max_calls_bytes) abort();
    nx_attempt_done(&a);
    free(mem);
    return 0;
}

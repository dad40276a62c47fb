/* fuzz_dwarf_map.c: bytes as a module with DWARF, of which a build makes a source map. */
#include <stdlib.h>

#include "source_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_buf out = NX_BUF_INIT(1u << 20);
    (void)nx_rt_source_map_from_dwarf(nx_slice_make(data, size), NX_SLICE("/x"), &out, NULL);
    nx_buf_done(&out);
    return 0;
}

/* fuzz_source_map.c: bytes as a source map, as a module's section carries it. */
#include <stdlib.h>

#include "nx/digest.h"
#include "source_map.h"

#define MAP_BYTES 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_rt_place places[4];
    static char url[32 + MAP_BYTES * 2] = "data:application/json;base64,";
    size_t head = strlen("data:application/json;base64,");
    if (size > MAP_BYTES) return 0;
    size_t n = head + nx_base64_encode(nx_slice_make(data, size), false, url + head);
    nx_arena arena = NX_ARENA_INIT(1u << 20);
    nx_rt_facts f = {.source_map_url = {url, n}, .code_offset = 8};
    for (unsigned i = 0; i < 4; i++) places[i] = (nx_rt_place){.address = 1u + i * i * 40};
    nx_rt_source_map_find(&f, &arena, places, 4);
    for (unsigned i = 0; i < 4; i++)
        if (!memchr(places[i].file, 0, sizeof places[i].file)) abort();
    nx_arena_done(&arena);
    return 0;
}

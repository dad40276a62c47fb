/* fuzz_lines.c: bytes as DWARF line tables. First byte: how the rest is cut into the tables and their strings. */
#include <stdlib.h>

#include "dwarf_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_rt_place places[4];
    if (size == 0) return 0;
    size_t cut = (size - 1) * data[0] / 255;
    const uint8_t *p = data + 1;
    nx_rt_facts f = {.debug_line = {(const char *)p, cut}, .debug_line_str = {(const char *)p + cut, size - 1 - cut}};
    f.debug_str = f.debug_line_str;
    for (unsigned i = 0; i < 4; i++) places[i] = (nx_rt_place){.address = 1u + i * i * 40};
    nx_rt_lines_find(&f, places, 4);
    for (unsigned i = 0; i < 4; i++)
        if (!memchr(places[i].file, 0, sizeof places[i].file)) abort();
    return 0;
}

/* limits.c: how many modules the system lets one process map. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "rt_internal.h"

#define MAPPED_MAX 16384u        /* of any system */
#define MAPPED_MIN 64u           /* tried in any case */
#define MAPPINGS_OF_MODULE 5u    /* at most, as measured, with that of its instances */
#define MAPPINGS_OF_REST 8192u   /* threads, pools, libraries */
#define DESCRIPTORS_OF_REST 512u /* connections beyond that share what is left, evenly */

uint64_t nx_rt_mappings_max(void)
{
    char text[32] = "";
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    uint64_t n = f && fgets(text, sizeof text, f) ? strtoull(text, NULL, 10) : 0;
    if (f) (void)fclose(f);
    return n ? n : 65530; /* the kernel's default */
}

unsigned nx_rt_mapped_limit(void)
{
    struct rlimit r;
    uint64_t mappings = nx_rt_mappings_max(), descriptors = 1024;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) descriptors = r.rlim_cur;
    uint64_t by_mappings = mappings > MAPPINGS_OF_REST ? (mappings - MAPPINGS_OF_REST) / MAPPINGS_OF_MODULE : 0;
    uint64_t by_descriptors = descriptors > DESCRIPTORS_OF_REST ? (descriptors - DESCRIPTORS_OF_REST) / 2 : 0;
    uint64_t n = by_mappings < by_descriptors ? by_mappings : by_descriptors;
    return n > MAPPED_MAX ? MAPPED_MAX : n < MAPPED_MIN ? MAPPED_MIN
                                                        : (unsigned)n;
}

/* limits.c: what the system lets one process have: mapped modules, memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rt_internal.h"

#define MAPPED_MAX 16384u        /* of any system */
#define MAPPED_MIN 64u           /* tried in any case */
#define MAPPINGS_OF_MODULE 5u    /* at most, as measured, with that of its instances */
#define MAPPINGS_OF_REST 8192u   /* threads, pools, libraries */
#define DESCRIPTORS_OF_REST 512u /* connections beyond that share what is left, evenly */
#define NO_OVERCOMMIT 2u         /* vm.overcommit_memory: what may be written to has to be there */

/* The number behind `key` at the beginning of a line; "": of the file. 0 where there is none. */
static uint64_t number_in(const char *path, const char *key)
{
    char line[256];
    uint64_t n = 0;
    bool is_found = false;
    FILE *f = fopen(path, "re");
    while (f && !is_found && fgets(line, sizeof line, f)) {
        is_found = strncmp(line, key, strlen(key)) == 0;
        if (is_found) n = strtoull(line + strlen(key), NULL, 10);
    }
    if (f) (void)fclose(f);
    return n;
}

uint64_t nx_rt_mappings_max(void)
{
    uint64_t n = number_in("/proc/sys/vm/max_map_count", "");
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

/* ---- memory. Guests grow inside of address space that is reserved when the node starts (RLIMIT_AS counts there): what may be refused is to write to it. */

static bool has_overcommit(void) { return number_in("/proc/sys/vm/overcommit_memory", "") != NO_OVERCOMMIT; }

static uint64_t data_limit(void)
{
    struct rlimit r;
    return getrlimit(RLIMIT_DATA, &r) != 0 || r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : r.rlim_cur;
}

const char *nx_rt_memory_refusal(const char **ret_advice)
{
    bool is_limited = data_limit() != UINT64_MAX;
    if (ret_advice) *ret_advice = is_limited ? "lift that limit (ulimit -d unlimited; LimitDATA= of a systemd unit)" : "set vm.overcommit_memory to 0 (sysctl)";
    return is_limited ? "the data of a process is limited (ulimit -d)" : has_overcommit() ? NULL
                                                                                          : "the system does not overcommit memory (vm.overcommit_memory is 2)";
}

static uint64_t room_of_data(void)
{
    unsigned long long pages = 0;
    uint64_t limit = data_limit();
    if (limit == UINT64_MAX) return UINT64_MAX;
    FILE *f = fopen("/proc/self/statm", "re"); /* proc(5): the sixth figure is data and stack */
    /* The kernel's own text: a number that is out of range can't be there. NOLINTNEXTLINE(cert-err34-c) */
    bool is_known = f && fscanf(f, "%*u %*u %*u %*u %*u %llu", &pages) == 1;
    if (f) (void)fclose(f);
    uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return is_known && used < limit ? limit - used : 0;
}

/* What the kernel keeps from a process that is not root's is left alone (__vm_enough_memory). */
static uint64_t room_of_system(void)
{
    if (has_overcommit()) return UINT64_MAX;
    uint64_t limit_kb = number_in("/proc/meminfo", "CommitLimit:"), used_kb = number_in("/proc/meminfo", "Committed_AS:");
    used_kb += number_in("/proc/sys/vm/user_reserve_kbytes", "") + number_in("/proc/sys/vm/admin_reserve_kbytes", "");
    return used_kb < limit_kb ? (limit_kb - used_kb) << 10 : 0;
}

uint64_t nx_rt_memory_room(void)
{
    uint64_t data = room_of_data(), system = room_of_system();
    return data < system ? data : system;
}

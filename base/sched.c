/* sched.c: slices of the scheduler. The C library has no sched_setattr() before glibc 2.41. */
#include "nx/sched.h"
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROMPT_NS 100000u /* the least that Linux gives */

/* struct sched_attr, as it was first published (SCHED_ATTR_SIZE_VER0). */
typedef struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
} attributes;

static void ask(uint64_t slice_ns)
{
    attributes a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) != 0 || (a.policy != SCHED_OTHER && a.policy != SCHED_BATCH))
        return;
    a.runtime_ns = slice_ns;
    (void)syscall(SYS_sched_setattr, 0, &a, 0); /* refused: the thread waits its turn, as before */
}

void nx_sched_prompt(void) { ask(PROMPT_NS); }
void nx_sched_usual(void) { ask(0); }

void nx_sched_behind(int nice)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice); /* can't fail for raising the number */
    nx_sched_usual();
}

/* nx/sched.h: how long a thread wants a core at a time. A woken thread that asks for less than the one that runs need not wait for the end of that one's
 * slice, some milliseconds: threads that take events from hand to hand ask for little, those that compute for what is usual.
 * Linux 6.12 and later, sched_setattr(2): sched_runtime of SCHED_OTHER; elsewhere nothing changes.
 * Threads: any; for the calling thread, and the threads and processes that it starts from then on. */
#ifndef NX_SCHED_H
#define NX_SCHED_H

void nx_sched_prompt(void);
void nx_sched_usual(void);
/* For work that others need not wait for: the usual slice, and `nice` (1 to 19, nice(2)) of this thread alone, as Linux has it. */
void nx_sched_behind(int nice);
#endif

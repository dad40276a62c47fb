/* attempts.h: attempts that were submitted: how many have begun and ended, in which order, and waiting for that. */
#ifndef NX_TEST_ATTEMPTS_H
#define NX_TEST_ATTEMPTS_H
#include "rt_help.h"

#define ATTEMPTS_MAX 512u

/* cmocka's set-up of each such test: none has begun. */
int attempts_reset(void **state);

/* An attempt at `p` whose end is counted, and its beginning as soon as it has a slot. */
void attempts_init(nx_attempt *a, nx_rt_program *p);
/* For a->on_log, with on_start NULL: a guest that says something has begun. */
void attempts_on_log(nx_attempt *a, nx_slice line);
void attempts_submit(nx_attempt *a);
/* The same for a share, and with much time. */
void attempts_init_for(nx_attempt *a, nx_rt_program *p, nx_rt_share *s);
void attempts_submit_to(nx_attempt *a, nx_rt_program *p, nx_rt_share *s);
void attempts_finish(nx_attempt *a, unsigned n); /* they ended well */

/* Computes for so long as takes `ms` of a core here. */
nx_rt_program *attempts_busy(unsigned ms);

void attempts_wait_started(unsigned n);
void attempts_wait_ended(unsigned n);
unsigned attempts_n_ended(void);
const nx_attempt *attempts_ended(unsigned place);
unsigned attempts_place(const nx_attempt *a); /* UINT32_MAX: it has not ended */

/* So many slots are taken until the release: what is submitted meanwhile waits, however long that takes, and is chosen from together. Counted by nothing above. */
void attempts_block(unsigned slots);
void attempts_release(void);

/* A runtime with other options in place of `rt`, in a folder of its own (o->cache_dir), until the second call. */
void attempts_use_runtime(const nx_rt_options *o);
void attempts_drop_runtime(void);
#endif

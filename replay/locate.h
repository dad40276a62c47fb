/* locate.h: where in the guest a host call is made.
 * Threads: BLOCKS: runs the guest once more, up to that call, and looks lines up in the limited child.
 * Errors:  none: without a backtrace there is only less to tell. */
#ifndef NX_REPLAY_LOCATE_H
#define NX_REPLAY_LOCATE_H
#include "nx/repeat.h"

/* Appends the guest's frames at host call `call` (from 0), one a line, with " at FILE:LINE" where `module`, the program's, has line tables. Nothing where
 * the run ends before it. `how` is that of the run which made the call. */
void nx_replay_locate(nx_rt *rt, nx_rt_program *program, nx_slice module, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, int64_t call,
                      nx_buf *out);
#endif

/* locate.h: where in the guest a host call is made.
 * Threads: BLOCKS: runs the guest once more, up to that call, and looks lines up in the limited child.
 * Errors:  none: without a backtrace there is only less to tell. */
#ifndef NX_REPLAY_LOCATE_H
#define NX_REPLAY_LOCATE_H
#include "find.h"

/* Appends the guest's frames at host call `call` (from 0), one a line, with " at FILE:LINE" where the module has line tables. Nothing where the run ends
 * before it. `how` is that of the run which made the call. */
void nx_replay_locate(const nx_replay_code *code, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, int64_t call, nx_buf *out);
/* Appends what that host call was, however many were made before it; nothing where it can't be said. */
void nx_replay_call_text(const nx_replay_code *code, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, int64_t call, nx_buf *out);
#endif

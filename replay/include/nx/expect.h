/* nx/expect.h: does a repeated run come out as recorded? What a regression test asks of code that may have changed.
 * Why:       a verdict compares proofs (fuel, host calls); a test compares what callers and other functions see, and says what is different in it.
 * Threads:   plain data.
 * Errors:    none: what is different is the answer. */
#ifndef NX_EXPECT_H
#define NX_EXPECT_H
#include "nx/repeat.h"

/* True: status (with its reason and exit code), output and emitted events are those of the recording; with `is_exact` also log output, host calls
 * and fuel. False: `ret_why` says what differs, in one line; for JSON outputs by their paths. The result must have a replayed run. */
bool nx_replay_expect(const nx_replay_result *r, bool is_exact, nx_buf *ret_why);
#endif

"""Waiting for conditions, never for time."""

import os
import statistics
import threading
import time

# A sanitizer build, or a machine with other work on its cores, is slower by about this.
SLOW = float(os.environ.get("NX_SLOW", "1"))

# A condition that comes late has come: on a machine that is busy with others all takes some times as long.
PATIENCE = 3

_never = threading.Event()


def pause(seconds):
    """Between two looks at a condition, or where elapsed time itself is what is tested."""
    _never.wait(seconds)


def wait_until(condition, what, deadline=10.0, every=0.01, on_failure=None):
    """The first true value of condition(), asked every `every` seconds for at most `deadline` seconds (times SLOW
    and PATIENCE: a deadline here ends what hangs, it measures nothing).

    on_failure() returns text (logs) for the message of the failed assertion."""
    deadline *= SLOW * PATIENCE
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            detail = f"\n{on_failure()}" if on_failure else ""
            raise AssertionError(f"waited {deadline} s for {what}{detail}")
        pause(every)


def undisturbed(times):
    """Of many times what it takes where others leave the cores alone: a quarter took no longer."""
    return statistics.quantiles(times, n=4)[0]


class Stopwatch:
    """with Stopwatch() as w: ...; w.ms"""

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.s = time.monotonic() - self.began
        self.ms = self.s * 1000

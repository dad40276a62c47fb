"""How many runs went on at the same time."""

from .node import moment


def span(run):
    """(begin, end) of a run as `runs list` shows it, in ms."""
    begin = moment(run["time"]) * 1000
    return begin, begin + run["duration_ms"]


def most_at_once(found):
    """found: begin, end and whatever else of each; what begins in the millisecond in which another one ends does so after it."""
    edges = sorted([(begin + 1, 1) for begin, *_ in found] + [(end, -1) for _, end, *_ in found])
    at_once = most = 0
    for _, step in edges:
        at_once += step
        most = max(most, at_once)
    return most

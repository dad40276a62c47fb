"""What the log of a cluster holds, read past the nodes, and what must be true of it once all is quiet."""

from . import nats
from .wait import wait_until


class Book:
    """Events in order, final records in order; `doubled`: events that are there twice; `repeated`: those that were run twice; `sent_twice`: records that
    are there twice, as their node sends them again where the answer was lost."""

    def __init__(self, urls):
        self.events, self.keys, self.finals, self.repeated, self.doubled, self.sent_twice = {}, {}, {}, [], [], 0
        for seq, subject, headers in nats.read_stream(urls, "NX_EVENTS_default"):
            event_id = headers.get("nx-event-id") or headers.get("ce-id")
            if event_id in self.events:
                self.doubled.append(event_id)
            self.events[event_id] = (subject.split(".", 4)[4], seq)
            if headers.get("ce-partitionkey"):
                self.keys.setdefault(headers["ce-partitionkey"], []).append(event_id)
        for seq, subject, headers in nats.read_stream(urls, "NX_RUNS_default"):
            if "nx-final" not in headers:
                continue
            key = (headers["nx-event-id"], subject.split(".")[3])
            if key not in self.finals:
                self.finals[key] = (seq, headers["nx-run-id"], subject.split(".")[4])
            elif self.finals[key][1] != headers["nx-run-id"]:
                self.repeated.append(key)
            else:
                self.sent_twice += 1

    def expect_order(self):
        """The final records of a key stand in the order of its events."""
        for key, events in self.keys.items():
            places = [self.finals[(e, "step")][0] for e in events]
            wrong = [(a, b) for a, b in zip(range(len(places)), range(1, len(places))) if places[a] > places[b]]
            assert not wrong, f"key {key}: out of order at {[(events[a], events[b]) for a, b in wrong[:3]]}"


def settled(cluster, fleet, accepted, deadline=120, most_doubled=0):
    """The Book once every stored event has its final run; nothing accepted is missing, and nothing, or no more than said, is there twice."""
    seen = {}

    def complete():
        if cluster.messages("NX_SPARE_default") != 0:
            return None  # they are on their way into the log
        book = seen["book"] = Book(cluster.urls)
        lost = [e for e in accepted if e not in book.events]
        assert not lost, f"{len(lost)} of {len(accepted)} accepted events are not in the log: {lost[:5]}"
        assert len(book.doubled) <= most_doubled, f"{len(book.doubled)} events are in the log twice: {book.doubled[:5]}"
        return all((e, kind) in book.finals for e, (kind, _) in book.events.items()) and book

    def unfinished():
        book = seen.get("book")
        if not book:
            return f"{cluster.messages('NX_SPARE_default')} events are still in the spare log\n{fleet.log()}"
        return f"{[(e, k) for e, (k, _) in book.events.items() if (e, k) not in book.finals][:10]}\n{fleet.log()}"

    return wait_until(complete, "a final run of every event", deadline, every=0.5, on_failure=unfinished)


def expect_one_run_each(fleet, book, sample):
    """As users see it, on every node: one final run of each event, the first that was recorded."""
    for number, event_id in enumerate(sample):
        node = fleet.nodes[number % len(fleet.nodes)]
        kind = book.events[event_id][0]
        runs = node.wait_runs(event_id)
        assert [(r["run_id"], r["status"]) for r in runs] == [book.finals[(event_id, kind)][1:]], runs

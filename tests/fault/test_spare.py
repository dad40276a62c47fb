"""The spare log alone: what was accepted while the log had no leader is kept there over the death of every node, is found, and gets into the log once."""

import asyncio
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from nexus import nats
from nexus.book import expect_one_run_each, settled
from nexus.cluster import Clients, Cluster, Fleet
from nexus.node import function
from nexus.wait import SLOW, pause, wait_until

SPARE = "NX_SPARE_default"
EVENTS = "NX_EVENTS_default"
RUNS = "NX_RUNS_default"
NODES_ACK_WAIT_S = 2
MOVE_AT_ONCE = 32  # event-fabric/nats/spare.c


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fleet(tmp_path, cluster, guests, request):
    window = getattr(request, "param", f"{round(1000 * SLOW)}ms")

    def settings(project):
        return {"dedupe_window": window, "functions": [function("load", project.module(guests.rust("probe.rs")))]}

    with Fleet(tmp_path, cluster, settings) as fleet:
        yield fleet


def kill_leader_of_log(cluster):
    """The server that leads the log dies, and another one leads the spare log; the one that is dead. Of two copies of the log one is left: no other server
    can lead it, however long what is tested takes. (Those with three, and elections: test_cluster.py.)"""
    cluster.copies(EVENTS, 2)
    victim, _ = cluster.two_leaders(EVENTS, SPARE)
    victim.kill()
    return victim


def fill_spare(cluster, fleet, count):
    """Accepted events, of which at least `count` lie in the spare log."""
    with Clients(fleet.urls, lambda i: ("/events/load", f"event {i}", {}), 4) as clients:
        wait_until(lambda: cluster.messages(SPARE) >= count, "events in the spare log", 20, every=0.02, on_failure=fleet.log)
    return clients.accepted


def kill_all(fleet):
    for node in fleet.nodes:
        node.process.kill()
    for node in fleet.nodes:
        node.process.wait()


def start_all(fleet, running=()):
    for node in fleet.nodes:
        if node not in running:
            node.launch()
    for i, node in enumerate(fleet.nodes):
        node.wait_ready(60)
        fleet.urls[i] = node.url


def wait_for_leader(cluster, victim):
    victim.start()
    wait_until(cluster.is_whole, "all servers", 60, every=0.2)


@pytest.mark.timeout(240)
def test_it_outlives_every_node_and_is_moved_once(cluster, fleet):
    victim = kill_leader_of_log(cluster)
    accepted = fill_spare(cluster, fleet, 100)
    kill_all(fleet)
    wait_for_leader(cluster, victim)
    kept = cluster.messages(SPARE)
    assert kept >= 100, "somebody moved them while no node was there"
    start_all(fleet)  # at the same time: all of them find the events and move them
    book = settled(cluster, fleet, accepted)
    print(f"{len(accepted)} accepted, {kept} of them in the spare log when the last node died")
    expect_one_run_each(fleet, book, list(accepted)[:: max(1, len(accepted) // 40)])


@pytest.mark.timeout(240)
def test_what_waits_there_is_found_by_its_id(cluster, fleet):
    fleet.nodes[0].call("load", "warm")
    victim = kill_leader_of_log(cluster)
    accepted = fill_spare(cluster, fleet, 20)
    ids = list(accepted)[-6:]

    def find(number):
        node = fleet.nodes[number % 3]

        def answered():
            event = node.client.get(f"{node.admin_url}/api/v1/events/{ids[number]}")
            return event if "reconnecting" not in event.text else None  # its server was the one that died

        event = wait_until(answered, "the node to have a server", 10, every=0.05, on_failure=node.log)
        return event.status_code, event.text

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(find, range(6)))
    assert [status for status, _ in answers] == [200] * 6, answers
    for event_id, (_, text) in zip(ids, answers):
        assert json.loads(text)["event_id"] == event_id
    wait_for_leader(cluster, victim)
    settled(cluster, fleet, accepted)


def keep_in_spare(cluster, fleet, count):
    """Accepted events, of which at least `count` lie in the spare log; the log has a leader again, and no node runs."""
    victim = kill_leader_of_log(cluster)
    accepted = fill_spare(cluster, fleet, count)
    kill_all(fleet)
    wait_for_leader(cluster, victim)
    return accepted


def store_as_a_mover(cluster, count):
    """The oldest events of the spare log into the log, as a node does it before it takes them out there."""
    async def move(connection):
        js = connection.jetstream(timeout=10)
        first = (await js.stream_info(SPARE)).state.first_seq

        async def one(seq):
            message = await js.get_msg(SPARE, seq)
            headers = dict(message.headers)
            assert headers["Nats-Msg-Id"]
            await js.publish(message.subject.replace(".spare.", ".ev.", 1), message.data, headers=headers)

        await asyncio.gather(*(one(seq) for seq in range(first, first + count)))

    nats.run(cluster.urls, move)


@pytest.mark.timeout(240)
def test_one_that_was_moved_and_not_removed_is_not_moved_again(cluster, fleet):
    """A node stores an event in the log and dies before it takes it out of the spare log; the next node comes when the log has forgotten its id."""
    accepted = keep_in_spare(cluster, fleet, 50)
    store_as_a_mover(cluster, 30)
    pause(2 + SLOW)  # past the log's dedupe window
    start_all(fleet)
    settled(cluster, fleet, accepted)


@pytest.mark.timeout(240)
def test_a_node_that_sleeps_while_it_moves_them_moves_no_more_than_it_had_begun_to_send_twice(cluster, fleet):
    """A node stops in the midst of a page of events that it moves (SIGSTOP), another one moves them all, and it wakes up when the log has forgotten their ids.
    What it had just begun to send goes out when it wakes, and these events, at most MOVE_AT_ONCE, may be in the log twice; nothing of the rest of its page is."""
    accepted = keep_in_spare(cluster, fleet, 600)
    before = cluster.messages(EVENTS)
    sleeper = fleet.nodes[0].launch()
    wait_until(lambda: cluster.messages(EVENTS) > before, "the first events to be moved", 60, every=0.001, on_failure=fleet.log)
    os.kill(sleeper.process.pid, signal.SIGSTOP)
    try:
        left = cluster.messages(SPARE)
        print(f"{cluster.messages(EVENTS) - before} are moved when the node stops, {left} lie there")
        store_as_a_mover(cluster, min(300, left))
        pause(1 + SLOW / 5)  # past the log's dedupe window; not past the time that a node waits for an answer
    finally:
        os.kill(sleeper.process.pid, signal.SIGCONT)
    start_all(fleet, [sleeper])
    settled(cluster, fleet, accepted, most_doubled=MOVE_AT_ONCE)


def post(fleet, key, number=0):
    """(event id, whether it is called a duplicate) of an event with this Idempotency-Key, once a node takes it."""
    def taken():
        node = fleet.nodes[number]
        answer = node.client.post(f"{node.url}/events/load", content=f"key {key}", headers={"Idempotency-Key": key})
        assert answer.status_code in (202, 503), answer.text
        return answer.json() if answer.status_code == 202 else None

    answer = wait_until(taken, f"the event with the key {key} to be taken", 10, every=0.05, on_failure=fleet.log)
    return answer["event_id"], answer.get("duplicate", False)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fleet", ["2m"], indirect=True)
def test_keys_against_duplicates_hold_there_too(cluster, fleet):
    """An event with an Idempotency-Key is taken while the log has no leader, once; one whose key the log knew before is dropped later, and its id stands
    for the first."""
    before, _ = post(fleet, "before")
    assert post(fleet, "before", 1) == (before, True)
    victim = kill_leader_of_log(cluster)
    fresh, is_duplicate = post(fleet, "fresh")
    kept = cluster.messages(SPARE)
    again = post(fleet, "before")
    assert cluster.leader_of(EVENTS) is None and kept, "the log had a leader: nothing was tested"
    assert not is_duplicate and post(fleet, "fresh") == (fresh, True)
    assert again[0] != before and not again[1], "only the log knows this key"
    wait_for_leader(cluster, victim)
    book = settled(cluster, fleet, {before: (0, ""), fresh: (0, "")})
    assert list(book.events) == [before, fresh]
    expect_one_run_each(fleet, book, [before, fresh])
    assert post(fleet, "fresh", 1) == (fresh, True) and post(fleet, "before", 2) == (before, True)
    for node in fleet.nodes:
        assert node.client.get(f"{node.admin_url}/api/v1/events/{again[0]}").json()["event_id"] == before


ACK_WAIT_S = 2 * NODES_ACK_WAIT_S * SLOW


@pytest.mark.timeout(240)
def test_a_run_is_recorded_once_the_records_have_a_leader(cluster, fleet):
    """The leader of the records dies while a run executes, and they have no other one for longer than an unacknowledged event is waited for: its outcome is
    kept, and recorded and answered when they have one; it does not run again."""
    victim, other = cluster.servers[:2]
    cluster.ack_wait(EVENTS, "fn-load", ACK_WAIT_S)  # a machine that is busy with others may be late with the nodes' signs of life
    cluster.copies(RUNS, 2)
    wait_until(cluster.is_whole, "all servers", 60, every=0.2)
    cluster.lead(victim, RUNS)
    cluster.lead(other, EVENTS)
    cluster.lead(other, EVENTS, "fn-load")

    def said(what):
        return sum(node.log().count(what) for node in fleet.nodes)

    before = said("Function 'load' started")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fleet.nodes[0].call, "load", f"sleep {round(1500 * SLOW)}", wait=60)
        wait_until(lambda: said("Function 'load' started") > before, "the run", 10, every=0.02, on_failure=fleet.log)
        victim.kill()
        at = time.time()
        wait_until(lambda: said("it is tried again"), "a record that can't be stored", 30, every=0.05, on_failure=fleet.log)
        pause(1.5 * ACK_WAIT_S)
        assert not answer.done() and cluster.leader_of(RUNS) is None
        wait_for_leader(cluster, victim)
        status = wait_until(lambda: answer.done() and answer.result().status_code, "the answer", 30, every=0.05, on_failure=fleet.log)
        print(f"answered {time.time() - at:.2f} s after the kill")
    assert status == 200, answer.result().text
    assert said("Function 'load' started") == before + 1
    event_id = answer.result().headers["nexus-event-id"]
    runs = fleet.nodes[1].runs(event=event_id)
    assert [r["status"] for r in runs] == ["ok"]
    assert datetime.fromisoformat(runs[0]["time"]).timestamp() < at, "what ran before the kill was not recorded, but another attempt"

"""Several namespaces in one process (docs/FLOW.md): nothing of one is seen in another, they share the slots by weight, and end and come back together."""

import re
import signal
import socket
import threading

import pytest
from nexus import nats, processes
from nexus.load import Load, check_nothing_lost
from nexus.namespaces import Namespaces
from nexus.node import STOP_DEADLINE_S, lines_of, nexus
from nexus.wait import SLOW, wait_until


@pytest.fixture(scope="module")
def process(tmp_path_factory, guests):
    process = Namespaces(tmp_path_factory.mktemp("namespaces") / "pair", shop={"workers": 2, "priority": {"weight": 300}}, lab={})
    with process:
        process.deploy({"busy": guests.rust("busy.rs"),
                        "count": (guests.rust("effects.rs"), {"key_value_stores": "default", "respond": "sync"}),
                        "says": guests.rust("logging.rs")})
        yield process


@pytest.fixture
def pair(process):
    return process.views


def test_they_are_one_process_with_a_node_each(pair):
    shop, lab = pair
    assert shop.info["pid"] == lab.info["pid"] == shop.process.pid
    assert len({shop.info["node"], lab.info["node"], shop.url, lab.url, shop.admin_url, lab.admin_url}) == 6
    assert [view.api("node").json()["namespace"] for view in pair] == ["shop", "lab"]
    assert [view.client.get(f"{view.admin_url}/healthz").status_code for view in pair] == [200, 200]
    # The slots are the process's; the first one's metrics tell of them.
    told = [view.client.get(f"{view.admin_url}/metrics").text for view in pair]
    assert "nexus_worker_running" in told[0] and "nexus_worker_running" not in told[1]
    assert all("nexus_events_ingested_total" in text for text in told)


def test_events_runs_stores_and_secrets_do_not_mix(pair):
    shop, lab = pair
    assert [shop.call("count", "count visits").text.strip() for _ in range(3)] == ["1", "2", "3"]
    assert lab.call("count", "count visits").text.strip() == "1"
    event_id = shop.publish("says", "hello")
    assert shop.run_of(event_id)["namespace"] == "shop"
    assert lab.client.get(f"{lab.admin_url}/api/v1/runs", params={"event": event_id}).status_code == 404
    assert event_id not in {e["event_id"] for e in lab.api_list("events")}
    assert lab.nexus("replay", event_id, check=False).returncode != 0
    assert [v["verdict"] for v in shop.replay(event_id)] == ["identical"]
    shop.nexus("secrets", "set", "KEY", stdin="value")
    assert [[s["name"] for s in view.api_list("secrets")] for view in pair] == [["KEY"], []]


def test_logs_show_lines_of_their_namespace_alone(pair):
    for view in pair:
        event_id = view.publish("says", "hello")
        view.run_of(event_id)
        wait_until(lambda: any(line.get("event_id") == event_id for line in view.api_list("logs", limit=1000)), "the run's lines", on_failure=view.log)
    for view in pair:
        lines = view.api_list("logs", limit=1000)
        assert {line.get("namespace") for line in lines} == {view.name}
        assert view.nexus("logs", "--json").stdout.count(f'"namespace":"{view.name}"') > 0


def test_the_nodes_own_lines_say_their_namespace(tmp_path):
    """As JSON and as text, from whatever thread they come; those of the process say none."""
    for form, with_namespace in (("json", r'"namespace":"{}".*'), ("text", r"\[namespace={}\] .*")):
        process = Namespaces(tmp_path / form, shop={"log": {"format": form}}, lab={})
        with process as (shop, lab):
            processes.send(lab.nats_pid(), signal.SIGKILL)
            lab.wait_log(with_namespace.format("lab") + "connected to the NATS server again")
            shop.process.send_signal(signal.SIGHUP)
            for view in (shop, lab):
                view.wait_log(with_namespace.format(view.name) + rf"node {view.info['node']} ready")
                view.wait_log(with_namespace.format(view.name) + rf"{view.name}\.yaml: settings read again")
                own = view.api_list("logs", limit=1000)
                assert {line["namespace"] for line in own} == {view.name}
                assert {"node.ready", "config.applied"} <= {line["event"] for line in own}
            assert "fabric.connected" in {line["event"] for line in lab.api_list("logs", limit=1000)}
            assert "fabric.connected" not in {line["event"] for line in shop.api_list("logs", limit=1000)}
            assert "[namespace=" not in shop.nexus("logs").stdout, "what is asked for one namespace need not say so"
        lines = [line for line in shop.log().splitlines() if re.search(r"\bINFO\b|\bWARN\b|\bERROR\b", line)]
        assert len([line for line in lines if re.search(with_namespace.format("(shop|lab)"), line)]) >= 6
        without = [line for line in lines if "namespace" not in line]
        assert len(without) == 1 and "stopping" in without[0], without


def test_slots_are_divided_by_weight(pair):
    """Both want all of them: three runs of the one for each of the other."""
    shop, lab = pair
    for _ in range(80):
        for view in (lab, shop):
            view.publish("busy", "60")
    before = [view.waiting("busy") for view in pair]
    wait_until(lambda: before[0] - shop.waiting("busy") >= 36, "runs of the namespace that weighs more", 120)
    done = [n - view.waiting("busy") for n, view in zip(before, pair)]
    assert before[0] > 45 and lab.waiting("busy") > 10, f"they were through too soon, this shows nothing: {before} {done}"
    assert 1.7 < done[0] / max(done[1], 1) < 6, done
    for view in pair:
        wait_until(lambda: view.waiting("busy") == 0, "the end of the backlog", 120)


def test_a_backlog_of_one_does_not_stand_before_another(pair):
    shop, lab = pair
    for _ in range(60):
        shop.publish("busy", "100")
    for _ in range(10):
        assert lab.call("busy", "0").status_code == 200
    assert shop.waiting("busy") > 10, "it was through before the quiet one: this shows nothing"
    wait_until(lambda: shop.waiting("busy") == 0, "the end of the backlog", 120)


def test_hangup_reads_each_file_whole_or_not_at_all(pair):
    shop, lab = pair
    shop.write(priority={"weight": 200}, ingest={"strict": True})
    lab.write(priority={"weight": 0})
    shop.process.send_signal(signal.SIGHUP)
    shop.wait_log(r"shop\.yaml: settings read again")
    lab.wait_log(r"lab\.yaml: settings not taken.*priority\.weight")
    wait_until(lambda: shop.post("nobody-takes-it", "x").status_code == 404, "the setting to hold")
    assert lab.post("nobody-takes-it", "x").status_code == 202
    lab.write(log={"level": "debug"})
    shop.process.send_signal(signal.SIGHUP)
    lab.wait_log(r"lab\.yaml: settings not taken.*log\.level: belongs to the process")
    for view in pair:
        view.write()
    shop.process.send_signal(signal.SIGHUP)
    lab.wait_log(r"lab\.yaml: settings read again")


def test_a_stop_answers_callers_of_all_and_a_kill_loses_nothing(tmp_path, guests):
    process = Namespaces(tmp_path / "both", shop={"workers": 2}, lab={})
    with process as views:
        process.deploy({"nap": guests.rust("nap.rs"), "load": guests.wat("answer.wat", TEXT="one", LENGTH=3)})
        answers = {}

        def ask(view):
            answers[view.name] = view.call("nap", '{"ms": 1500}').status_code

        callers = [threading.Thread(target=ask, args=(view,)) for view in views]
        for caller in callers:
            caller.start()
        for view in views:
            wait_until(lambda: view.waiting("nap") == 1, "the caller's event")
        process.stop()
        for caller in callers:
            caller.join()
        assert answers == {"shop": 200, "lab": 200}
        process.start()
        loads = [Load(lambda view=view: view.url, threads=2) for view in views]
        for load in loads:
            load.start()
        wait_until(lambda: all(len(load.accepted) > 200 for load in loads), "events of both", 60)
        process.kill()
        for load in loads:
            load.stop()
        process.start()
        for view, load in zip(views, loads):
            check_nothing_lost(view, load, namespace=view.name)


@pytest.mark.parametrize("lab, words, said", [
    ({"namespace": "shop"}, [], ["namespace: shop is the namespace of .*shop.yaml already"]),
    ({"data_dir": "{shop}"}, [], ["data_dir: "]),
    ({"listen": "127.0.0.1:18080"}, [], ["listen: 127.0.0.1:18080 is the listen of "]),
    ({"admin": "127.0.0.1:18080"}, [], ["admin: 127.0.0.1:18080 is the listen of "]),
    ({"admin": "0.0.0.0:18080"}, [], ["admin: 0.0.0.0:18080 is the listen of .*shop.yaml already, as 127.0.0.1:18080"]),
    ({}, ["--listen", "127.0.0.1:18090"], ["listen: 127.0.0.1:18090 is the listen of "]),
    ({}, ["--set", "namespace=one"], ["namespace: one is the namespace of "]),
    ({"namespace": "shop", "workers": 7, "log": {"format": "json"}}, [],
     ["namespace: shop is the namespace of ", "workers: belongs to the process", "log.format: belongs to the process"]),
])
def test_what_they_can_not_share_is_refused_before_anything_starts(tmp_path, lab, words, said):
    shop_dir = tmp_path / "pair" / "shop" / ".nexus"
    lab = {k: str(shop_dir) if v == "{shop}" else v for k, v in lab.items()}
    process = Namespaces(tmp_path / "pair", shop={"listen": "127.0.0.1:18080", "workers": 2}, lab=lab)
    result = nexus("serve", *process.files, *words, check=False)
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert all(re.search(f"lab.yaml: {what}", result.stderr) for what in said), result.stderr
    assert not shop_dir.exists(), "it had begun"
    if words:
        return
    # The same words, before anybody serves them.
    valid = nexus("validate", *process.files, check=False)
    assert (valid.returncode, valid.stderr) == (2, "") and "shop.yaml is valid: namespace shop" in valid.stdout
    assert sorted(result.stderr.splitlines()) == sorted(line for line in valid.stdout.splitlines() if "is valid" not in line)
    doctor = nexus("doctor", "--json", *process.files, check=False)
    checks = lines_of(doctor.stdout)
    assert doctor.returncode == 1
    bad = [c["detail"] for c in checks if c.get("file") == str(process.views[1].node_file) and c["status"] == "bad"]
    assert all(any(re.search(what, detail) for detail in bad) for what in said), checks


def test_validate_shows_the_mistakes_of_all_files_at_once(tmp_path):
    process = Namespaces(tmp_path / "three", shop={"workers": "many"}, lab={"namespace": "yard", "data_dri": "x"}, yard={"listen": "127.0.0.1:18081"}, end={"admin": "127.0.0.1:18081"})
    result = nexus("validate", "--json", *process.files, check=False)
    assert result.returncode == 2
    shop, lab, yard, end = reports = lines_of(result.stdout)
    assert [r["file"] for r in reports] == [str(view.node_file) for view in process.views]
    assert [r["valid"] for r in reports] == [False, False, True, False]
    assert [[i["path"] for i in r["issues"]] for r in (shop, lab, end)] == [["workers"], ["data_dri"], ["admin"]]
    refused = nexus("serve", *process.files, check=False).stderr
    assert re.findall(r"^.*/(\w+)\.yaml:", refused, re.M) == ["shop", "lab", "end"], "serve says them all, too"
    for words in (["validate", *process.files, process.files[1]], ["validate", "-f", process.files[1], *process.files]):
        both = nexus(*words, check=False)
        assert both.returncode == 2 and "not both" in both.stderr, both.stderr
    missing = nexus("validate", *process.files, "--config", tmp_path / "missing.yaml", check=False)
    assert missing.returncode != 0 and "missing.yaml" in missing.stderr


def test_doctor_looks_at_each_namespace_and_finds_its_node(process, tmp_path):
    checks = lines_of(nexus("doctor", "--json", *process.files).stdout)
    assert len([c for c in checks if c["check"] == "engine"]) == 1, "the machine is looked at once"
    for view in process.views:
        mine = {c["check"]: c for c in checks if c.get("file") == str(view.node_file)}
        assert {c["status"] for c in mine.values()} == {"ok"}, mine
        assert view.admin_url in mine["node"]["detail"] and f"namespace {view.name}" in mine["settings"]["detail"]
        assert {"event log", "data", "node", "durability", "events port", "admin port"} <= set(mine)
    stopped = Namespaces(tmp_path / "stopped", shop={}, lab={})
    text = nexus("doctor", *stopped.files).stdout
    assert text.count("no node of this namespace answers") == 2 and "shop.yaml\n" in text and text.endswith("all is well\n")
    assert nexus("doctor", *stopped.files, "--admin-url", "127.0.0.1:9", check=False).returncode == 2


def test_a_data_dir_by_another_name_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    process = Namespaces(tmp_path / "pair", shop={"data_dir": str(tmp_path / "real")}, lab={"data_dir": str(tmp_path / "link")})
    result = nexus("serve", *process.files, check=False)
    assert result.returncode == 2 and "lab.yaml: data_dir: " in result.stderr, result.stderr
    assert not list((tmp_path / "real").iterdir()), "it had begun"


@pytest.mark.parametrize("address", ["admin", "listen"])
def test_what_can_not_start_stops_the_others(tmp_path, address):
    """An address of the second one is taken: the first one ends, with its server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = Namespaces(tmp_path / "pair", shop={}, lab={address: f"127.0.0.1:{taken.getsockname()[1]}"})
        result = nexus("serve", *process.files, check=False)
    assert result.returncode not in (0, 2) and "lab.yaml" in result.stderr and "another program has that address" in result.stderr, result.stderr
    assert "shop.yaml" not in result.stderr, "nothing is wrong with it"
    for view in process.views:
        assert not (view.project.data_dir / "node.json").exists()
        assert not processes.nats_servers_of(view.project.data_dir)


@pytest.fixture
def nowhere():
    """The URLs of a cluster none of whose servers is up: bound, and nobody listens."""
    with socket.socket() as a, socket.socket() as b:
        for s in (a, b):
            s.bind(("127.0.0.1", 0))
        yield ",".join(f"nats://127.0.0.1:{s.getsockname()[1]}" for s in (a, b))


def test_one_that_waits_for_its_servers_keeps_nobody_waiting(tmp_path, guests, nowhere):
    """The first one waits, whose runtime and log are everybody's: the other one takes functions and events, and the first too once its server is there."""
    count = {"count": (guests.rust("effects.rs"), {"key_value_stores": "default", "respond": "sync"})}
    server = nats.Server(tmp_path / "server")
    process = Namespaces(tmp_path / "pair", lab={"nats": {"url": f"{server.url},{nowhere}"}}, shop={})
    lab, shop = process.views
    process.launch()
    try:
        shop.wait_ready()
        shop.deploy(count)
        assert shop.call("count", "count visits").text.strip() == "1"
        lab.wait_log(r"\[namespace=lab\] not ready for .*waiting for the NATS servers", 30)
        assert not (lab.project.data_dir / "node.json").exists()
        with server:
            lab.wait_ready()
            lab.deploy(count)
            assert [view.call("count", "count visits").text.strip() for view in (lab, shop)] == ["1", "2"]
            process.stop()
    finally:
        process.kill()


@pytest.mark.parametrize("names", [("shop", "lab"), ("lab", "shop")], ids=["last", "first"])
def test_a_stop_while_one_waits_for_its_servers_drains_the_others(tmp_path, nowhere, names):
    """Whichever it is of the files."""
    process = Namespaces(tmp_path / "pair", **{name: {"shop": {}, "lab": {"nats": {"url": nowhere}}}[name] for name in names})
    shop = next(view for view in process.views if view.name == "shop")
    process.launch()
    try:
        shop.wait_ready()
        shop.wait_log(r"not ready for .*waiting for the NATS servers", 30)
        shop.process.send_signal(signal.SIGHUP)
        assert shop.client.get(f"{shop.admin_url}/readyz").status_code == 200, "a reload is no reason to end"
        shop.process.send_signal(signal.SIGTERM)
        assert shop.process.wait(STOP_DEADLINE_S * SLOW) > 0, shop.log()
    finally:
        process.kill()
    assert re.findall(r"(\w+)\.yaml: stopped before it was ready", shop.log()) == ["lab"]
    assert not (shop.project.data_dir / "node.json").exists(), "it was not drained"

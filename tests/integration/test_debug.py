"""`nexus replay --debug`: a recorded run under gdb, with the module's functions, lines and variables."""

import json
import re
import shlex
import shutil
import subprocess
import threading

import pytest
from nexus.node import Node, environment, function, nexus
from nexus.paths import NEXUS
from nexus.wait import SLOW, wait_until

SOURCE = """#include <stdio.h>

static int weigh(int n)
{
    int total = 0;
    for (int i = 0; i < n; i++)
        total += i * 3;
    return total;
}

void handle_event(void)
{
    char input[64];
    size_t n = fread(input, 1, sizeof input, stdin);
    int weight = weigh((int)n);
    printf("%d\\n", weight);
    fflush(stdout);
}
"""
GDB = shutil.which("gdb")
LLDB = shutil.which("lldb")
IS_RELEASE = json.loads(nexus("version", "--json").stdout)["engine"].startswith("static")
can_debug = pytest.mark.skipif(IS_RELEASE, reason="the release's engine has no support for debuggers")


class Waiting:
    """`nexus replay … --debug`, up to the line that it prints."""

    def __init__(self, *arguments, env, cwd):
        self.process = subprocess.Popen([NEXUS, "replay", *map(str, arguments), "--debug", "--json"], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.extend(iter(self.process.stderr.readline, "")), daemon=True)
        self.reader.start()

    def line(self):
        found = wait_until(lambda: next((x for x in list(self.said) if " gdb -q" in x), None) or (self.process.poll() is not None and "ended"),
                           "the line for gdb", 30, on_failure=lambda: "".join(self.said))
        assert found != "ended", "".join(self.said)
        return found.strip()

    def line_for_lldb(self):
        self.line()
        return wait_until(lambda: next((x for x in list(self.said) if "lldb -O" in x), None), "the line for lldb", 10).strip()

    def end(self):
        output = self.process.stdout.read()
        return self.process.wait(30), output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(scope="module")
def node(module_project, guests, tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "weigh.c"
    source.write_text(SOURCE)
    module_project.debug_build = guests.c(source, "-g", "-O0")
    plain = guests.c(source, "-Wl,--strip-all")
    module_project.write({"functions": [function("weigh", module_project.module(module_project.debug_build)),
                                        function("plain", module_project.module(plain, "plain.wasm"))]})
    with Node(module_project) as node:
        yield node


def attach(line, *commands):
    words = shlex.split(line)
    assert words[:3] == ["gdb", "-q", "-p"], line
    more = [word for command in commands for word in ("-ex", command)]
    result = subprocess.run([*words, *more, "-batch"], capture_output=True, text=True, check=False, timeout=90 * SLOW, stdin=subprocess.DEVNULL)
    if "ptrace: Operation not permitted" in result.stderr:
        pytest.skip("attaching is not allowed here")
    return result.stdout + result.stderr


@can_debug
@pytest.mark.skipif(not GDB, reason="gdb is not installed")
@pytest.mark.parametrize("offline", [False, True])
def test_gdb_shows_functions_lines_and_variables_and_the_run_is_the_recorded_one(node, tmp_path, offline):
    event_id = node.publish("weigh", "seven!!")
    node.run_of(event_id)
    env = environment(NEXUS_ADMIN_URL=node.admin_url, XDG_CACHE_HOME=tmp_path / "cache")
    what = event_id
    if offline:
        what = tmp_path / "case.nxb"
        node.nexus("bundle", event_id, "-o", what)
        env.pop("NEXUS_ADMIN_URL")
    with Waiting(what, env=env, cwd=tmp_path) as waiting:
        said = attach(waiting.line(), "break weigh.c:7", "continue", "backtrace 2", "print i", "next", "next", "print total", "print n", "delete", "detach")
        assert re.search(r"handle_event \(\) at .*weigh\.c:1\d", said), said
        assert re.search(r"#0 +weigh \(n=7\) at .*weigh\.c:7", said), said
        assert re.search(r"#1 .*handle_event \(\) at .*weigh\.c:15", said), said
        assert "= 7" in said
        code, output = waiting.end()
    verdict = json.loads(output)
    assert code == 0 and verdict["verdict"] == "identical", verdict  # fuel too: stepping and optimisation change nothing
    assert verdict["output"] == "63\n"


@can_debug
@pytest.mark.skipif(not LLDB, reason="lldb is not installed")
def test_lldb_shows_functions_lines_and_variables_and_the_run_is_the_recorded_one(node, tmp_path):
    event_id = node.publish("weigh", "seven!!")
    node.run_of(event_id)
    case = tmp_path / "a case.nxb"
    node.nexus("bundle", event_id, "-o", case)
    env = environment(XDG_CACHE_HOME=tmp_path / "cache")
    steps = ["breakpoint set -f weigh.c -l 7", "continue", "bt 2", "frame variable i n total", "breakpoint delete -f", "detach"]
    with Waiting(case, env=env, cwd=tmp_path) as waiting:
        words = shlex.split(waiting.line_for_lldb())
        assert words[0] == "lldb" and words[words.index("-p") + 1] == str(waiting.process.pid)
        result = subprocess.run([*words, "--batch", *[x for s in steps for x in ("-o", s)]], env=env, cwd=tmp_path, capture_output=True,
                                text=True, check=False, timeout=120 * SLOW, stdin=subprocess.DEVNULL)
        said = result.stdout + result.stderr
        if "Operation not permitted" in said or "attach failed" in said:
            pytest.skip("attaching is not allowed here")
        code, output = waiting.end()
    assert re.search(r"`handle_event at weigh\.c:1\d", said), said
    assert re.search(r"frame #0: .*`weigh\(n=7\) at weigh\.c:7", said), said
    assert re.search(r"frame #1: .*`handle_event at weigh\.c:15", said), said
    assert "(int) i = 0" in said and "(int) total = 0" in said, said
    verdict = json.loads(output)
    assert code == 0 and verdict["verdict"] == "identical" and verdict["output"] == "63\n", verdict


@can_debug
def test_a_module_without_lines_is_told_and_other_code_can_be_debugged(node, tmp_path):
    event_id = node.publish("plain", "x")
    node.run_of(event_id)
    env = environment(NEXUS_ADMIN_URL=node.admin_url, XDG_CACHE_HOME=tmp_path / "cache")
    with Waiting(event_id, env=env, cwd=tmp_path) as waiting:
        waiting.line()
        assert any("no line numbers" in x and "--against" in x for x in waiting.said)
        assert waiting.process.poll() is None  # it waits: nothing has run
    if not GDB:
        return
    with Waiting(event_id, "--against", node.project.debug_build, env=env, cwd=tmp_path) as waiting:
        said = attach(waiting.line(), "next", "next", "print n", "detach")
        assert not any("no line numbers" in x for x in waiting.said)
        assert "$1 = 1" in said, said
        code, output = waiting.end()
    assert code == 0 and json.loads(output)["verdict"] == "identical"


@can_debug
@pytest.mark.skipif(not GDB, reason="gdb is not installed")
def test_a_function_of_rust_is_found_by_its_path(node, guests, tmp_path):
    event_id = node.publish("plain", "x")
    node.run_of(event_id)
    other = guests.rust("probe.rs", options=("-C", "strip=none", "-C", "debuginfo=2", "-C", "opt-level=0"))
    env = environment(NEXUS_ADMIN_URL=node.admin_url, XDG_CACHE_HOME=tmp_path / "cache")
    with Waiting(event_id, "--against", other, env=env, cwd=tmp_path) as waiting:
        line = waiting.line()
        assert re.search(r"'break probe\w*::handle_event'", line), line
        said = attach(line, "next", "info locals", "detach")
        assert re.search(r"hit Breakpoint 1, probe\w*::handle_event \(\) at .*probe\.rs:\d+", said), said
        waiting.end()


def test_debug_takes_recorded_answers_only(node):
    refused = node.nexus("replay", "@last", "--debug", "--effects", "deny", check=False)
    assert refused.returncode == 2 and "--debug" in refused.stderr


@pytest.mark.skipif(not IS_RELEASE, reason="for the release")
def test_a_release_says_what_can_debug(node):
    event_id = node.publish("weigh", "x")
    node.run_of(event_id)
    result = node.nexus("replay", event_id, "--debug", check=False)
    assert result.returncode != 0 and "development build" in result.stderr

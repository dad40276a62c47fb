"""Each language that `nexus new` knows: the project builds, its own test passes, its runs are repeated bit for bit, and a trap names lines of the source."""

import json
import os
import re
from pathlib import Path

import pytest

from nexus.documents import Shell, blocks
from nexus.guests import with_packages
from nexus.node import Node, Project, environment, nexus
from nexus.paths import EXAMPLES, ROOT
from nexus.processes import without_network
from nexus.wait import wait_until

SOURCES = {"rust": "src/lib.rs", "c": "src/welcome.c", "assemblyscript": "assembly/index.ts", "zig": "src/welcome.zig", "javascript": "src/index.js"}
LANGUAGES = list(SOURCES)

# In each: a trap in a function of its own, and the line on which it happens.
TRAPS = {
    # unwrap() is inlined: the code that panics was written in the standard library, and called on line 6.
    "rust": ("""use std::io::Read;

#[inline(never)]
fn third(words: &[u8]) -> u8 {
    let found = words.get(2).copied();
    let value = found.unwrap();
    value.wrapping_add(1)
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).unwrap();
    println!("{}", third(&data));
}
""", {"third": 6, "handle_event": 14}),
    "c": ("""#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void check(int c)
{
    if (c == 'x')
        abort();
}

__attribute__((export_name("handle_event"))) void handle_event(void)
{
    check(getchar());
}
""", {"check": 7, "handle_event": 12}),
    "assemblyscript": ("""import { answer, inputText } from "./nexus";

function wordOf(data: string, n: i32): string {
  const words = data.split(" ");
  if (words.length <= n) throw new Error("there is no such word");
  return words[n];
}

export function handle_event(): void {
  const first = inputText();
  answer(wordOf(first, 1).length > 3 ? wordOf(first, 2) : wordOf(first, 3));
}
""", {"wordOf": 5, "handle_event": 11}),
    "zig": ("""const std = @import("std");
const nexus = @import("nexus.zig");

pub const panic = std.debug.FullPanic(nexus.panic);

noinline fn third(data: []const u8) u8 {
    return data[2];
}

export fn handle_event() void {
    const data = nexus.input() catch unreachable;
    nexus.answer(&.{third(data)});
}
""", {"third": 7, "handle_event": 12}),
}

# What the language's runtime said, as the run's message.
WORDS = {"rust": r"^panicked at .*src/lib\.rs:6:23", "c": "^unreachable", "assemblyscript": r"^abort: there is no such word in assembly/index\.ts\(5:26\)$",
         "zig": "^panic: index out of bounds: index 2, len 1$"}


@pytest.fixture(autouse=True)
def zig_on_path(monkeypatch):
    """Set-up keeps it among Python's packages. Its cache of compiled parts of its own library outlasts a test."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{ROOT}/.deps/venv/bin")


def made(folder, language):
    """A project of `nexus new`, with what its package manager would bring."""
    nexus("new", "my-app", f"--lang={language}", cwd=folder)
    return Project(with_packages(folder / "my-app"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_projects_own_test_passes_without_a_network(tmp_path, language):
    """Once the toolchain, and what the package manager brings, is there; whatever the folder is called."""
    folder = tmp_path / "my \"own\" $HOME földer"
    folder.mkdir()
    project = made(folder, language)
    with Shell(project.dir) as shell:
        (block,) = (b for b in blocks(project.dir / "README.md") if "test.sh" in b.text)
        said = shell.run(block, timeout=200, before=without_network())
    assert 'ok: {"user_id": "u42"}' in said


@pytest.mark.timeout(240)
@pytest.mark.parametrize("language", list(TRAPS))
def test_a_trap_names_lines_of_the_source(tmp_path, language):
    project = made(tmp_path, language)
    source, lines = TRAPS[language]
    (project.dir / SOURCES[language]).write_text(source)
    project.nexus("build", timeout=200)
    with Node(project) as node:
        event_id = node.publish("user.created", "x")
        run = node.whole_run(node.run_of(event_id)["run_id"])
        assert (run["status"], run["why"]) == ("error", "trap"), run
        assert re.search(WORDS[language], run["message"])
        for name, line in lines.items():
            assert re.search(rf"{name}\S* at \S*{re.escape(SOURCES[language])}:{line}\n", run["backtrace"]), run["backtrace"]
        assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
        assert f"{SOURCES[language]}:" in node.nexus("runs", "show", run["run_id"]).stdout


# ---- Rust


def sections(wasm):
    """Names and sizes of the custom sections."""
    def number(at):
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not data[at - 1] & 0x80:
                return value, at

    data, at, found = Path(wasm).read_bytes(), 8, {}
    while at < len(data):
        kind = data[at]
        size, at = number(at + 1)
        if kind == 0:
            length, name = number(at)
            found[data[name:name + length].decode()] = size
        at += size
    return found


def test_rust_brings_lines_and_nothing_else_of_its_debug_information(tmp_path):
    project = made(tmp_path, "rust")
    project.nexus("build", timeout=100)
    wasm = project.dir / "build" / "welcome.wasm"
    found = sections(wasm)
    assert 0 < found["sourceMappingURL"] < wasm.stat().st_size / 20
    assert "name" in found and not [name for name in found if name.startswith(".debug")]
    # What asks for debug information of its own gets all of it: for `replay --debug`.
    cargo = project.dir / "Cargo.toml"
    cargo.write_text(cargo.read_text().replace('strip = "debuginfo"', "debug = true"))
    project.nexus("build", timeout=100)
    found = sections(wasm)
    assert ".debug_info" in found and "sourceMappingURL" not in found
    # And what wants no names, none.
    cargo.write_text(cargo.read_text().replace("debug = true", "strip = true"))
    project.nexus("build", timeout=100)
    assert not set(sections(wasm)) & {"name", "sourceMappingURL", ".debug_info"}


# ---- AssemblyScript


def test_assemblyscript_asks_for_its_packages(tmp_path):
    said = nexus("new", "my-app", "--lang=assemblyscript", cwd=tmp_path).stdout
    assert "\n  npm ci\n" in said
    built = nexus("build", cwd=tmp_path / "my-app", check=False)
    assert built.returncode != 0
    assert "package-lock.json" in built.stderr and built.stderr.rstrip().endswith("npm ci")


@pytest.mark.timeout(240)
def test_assemblyscript_makes_the_host_calls(tmp_path):
    """The example: compare-and-set, an emitted event, a denied call, and a replay that asks nobody."""
    project = made(tmp_path, "assemblyscript")
    (project.dir / "assembly" / "index.ts").write_text((EXAMPLES / "votes" / "assembly" / "index.ts").read_text())
    text = project.file.read_text()
    project.nexus("build", timeout=200)
    with Node(project) as node:
        denied = node.whole_run(node.run_of(node.publish("user.created", "ada"))["run_id"])
        assert (denied["status"], denied["why"]) == ("error", "exit")
        node.wait_log(r"Denied: .*key_value_stores")
        project.write(text + "    key_value_stores: [default]\n    emit: [vote.won]\n")
        wait_until(lambda: node.call("user.created", "bob").status_code == 200, "the grant", 20, on_failure=node.log)
        events = []
        for count in range(1, 6):
            answer = node.call("user.created", "ada")
            assert answer.text == f"{count}\n"
            events.append(answer.headers["nexus-event-id"])
        assert [v["verdict"] for v in node.replay(events[0])] == ["identical"]
        won = [e for e in node.api_list("events") if e["type"] == "vote.won"]
        assert len(won) == 1
        assert json.loads(node.api(f"events/{won[0]['event_id']}/data").text) == {"name": "ada"}


def test_assemblyscript_files_are_the_sdks():
    sdk, example = ROOT / "sdk" / "assemblyscript", EXAMPLES / "votes"
    assert (example / "assembly" / "nexus.ts").read_text() == (sdk / "nexus.ts").read_text()
    for name in ("package.json", "package-lock.json"):
        assert (example / name).read_text() == (sdk / name).read_text()


@pytest.mark.parametrize("language", ["assemblyscript", "javascript"])
def test_what_new_projects_pin_is_what_is_tested(language):
    pinned = json.loads((ROOT / "scripts" / "deps" / "npm" / "package-lock.json").read_text())["packages"]
    for name, package in json.loads((ROOT / "sdk" / language / "package-lock.json").read_text())["packages"].items():
        if name:
            assert package["integrity"] == pinned[name]["integrity"], name



# ---- Zig


ZIG_CALLS = """const std = @import("std");
const nexus = @import("nexus.zig");

pub const panic = std.debug.FullPanic(nexus.panic);

export fn handle_event() i32 {
    count() catch |e| {
        nexus.log(@errorName(e));
        nexus.log(nexus.reason());
        return 1;
    };
    return 0;
}

fn count() !void {
    const store = nexus.Store{};
    const page = try nexus.input();
    const now = try store.get(page);
    const visits = 1 + if (now) |entry| try std.fmt.parseInt(u32, entry.value, 10) else 0;
    const text = try std.fmt.allocPrint(nexus.allocator, "{d}", .{visits});
    _ = try store.put(page, text, if (now) |entry| @intCast(entry.revision) else nexus.absent);
    try nexus.emit("page.visited", text, .{ .subject = page });
    nexus.answer(text);
}
"""


def test_zig_makes_the_host_calls(tmp_path):
    project = made(tmp_path, "zig")
    (project.dir / SOURCES["zig"]).write_text(ZIG_CALLS)
    text = project.file.read_text()
    project.nexus("build", timeout=200)
    with Node(project) as node:
        denied = node.run_of(node.publish("user.created", "home"))
        assert (denied["status"], denied["why"]) == ("error", "exit")
        node.wait_log(r"\] Denied")
        node.wait_log(r"user-welcome\] .*key_value_stores")
        project.write(text + "    key_value_stores: [default]\n    emit: [page.visited]\n")
        wait_until(lambda: node.call("user.created", "other").status_code == 200, "the grant", 20, on_failure=node.log)
        assert [node.call("user.created", "home").text for _ in range(3)] == ["1", "2", "3"]
        answer = node.call("user.created", "home")
        assert answer.text == "4"
        assert [v["verdict"] for v in node.replay(answer.headers["nexus-event-id"])] == ["identical"]
        assert {e["subject"] for e in node.api_list("events") if e["type"] == "page.visited"} == {"home", "other"}


def test_zig_is_the_version_that_is_advised(tmp_path):
    nexus("new", "my-app", "--lang=zig", cwd=tmp_path)
    built = nexus("build", cwd=tmp_path / "my-app", check=False, env=environment(PATH="/nonexistent"))
    advised = re.search(r"ziglang==(\S+)", built.stderr).group(1)
    assert f"ziglang=={advised} " in (ROOT / "scripts" / "deps" / "test.lock").read_text()


# ---- JavaScript: the engine is the module, so lines of the source stand in what it says, not in the backtrace


JS_CALLS = """function third(words) {
  return words[2].length;
}

async function handle(page) {
  if (page === "boom") return third([page]);
  const visits = new Store().update(page, (now) => Number(now ?? 0) + 1);
  await Promise.resolve();
  emit("page.visited", { page, visits }, { subject: page });
  return { page, visits };
}
"""


@pytest.mark.timeout(240)
def test_javascript_makes_the_host_calls_and_says_where_it_threw(tmp_path):
    project = made(tmp_path, "javascript")
    (project.dir / SOURCES["javascript"]).write_text(JS_CALLS)
    text = project.file.read_text()
    project.nexus("build", timeout=200)
    with Node(project) as node:
        denied = node.whole_run(node.run_of(node.publish("user.created", "home"))["run_id"])
        assert (denied["status"], denied["why"]) == ("error", "trap")
        assert re.match(r"Uncaught Denied: .*key_value_stores", denied["message"]), denied["message"]
        project.write(text + "    key_value_stores: [default]\n    emit: [page.visited]\n")
        wait_until(lambda: node.call("user.created", "other").status_code == 200, "the grant", 20, on_failure=node.log)
        answers = [node.call("user.created", "home") for _ in range(3)]
        assert [a.json() for a in answers] == [{"page": "home", "visits": str(n)} for n in (1, 2, 3)]
        assert [v["verdict"] for v in node.replay(answers[0].headers["nexus-event-id"])] == ["identical"]
        assert {e["subject"] for e in node.api_list("events") if e["type"] == "page.visited"} == {"home", "other"}
        event_id = node.publish("user.created", "boom")
        run = node.whole_run(node.run_of(event_id)["run_id"])
        assert (run["status"], run["why"]) == ("error", "trap")
        assert run["message"] == "Uncaught TypeError: cannot read property 'length' of undefined at third (src/index.js:2:10)"
        node.wait_log(r"at handle \(src/index\.js:6:\d+\)")
        assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]

"""Documentation that is made from tables, or that tells what the sources say: it fails here when one of the two has moved on."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from nexus.node import Node, environment, function, nexus
from nexus.paths import GUESTS, NEXUS, ROOT

DOCS = ROOT / "docs"
LAYERS = ("base", "observability", "event-fabric", "runtime", "api-gateway", "core", "replay", "cli")


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def source(name):
    return (ROOT / name).read_text(encoding="utf-8")


def run(script, *arguments, timeout=90):
    return subprocess.run([sys.executable, str(ROOT / "scripts" / script), *arguments], capture_output=True, text=True, check=False,
                          timeout=timeout, env={**os.environ, "NEXUS_BIN": str(NEXUS)})


def test_generated_parts_are_up_to_date():
    result = run("docs", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


# ---- what the sources say


def admin_routes():
    text = source("core/admin_routes.c") + source("cli/routes.c")
    return re.findall(r'\{\s*"(GET|POST|PUT|DELETE)", "(/[^"]*)",', text)


def test_every_admin_route_is_documented():
    text = re.sub(r"<!-- generated: routes -->.*?<!-- /generated -->", "", page("API_REFERENCE.md"), flags=re.S)
    routes = admin_routes()
    assert len(routes) > 15
    assert not [f"{method} {path}" for method, path in routes if f"`{method} {path}`" not in text]


def test_every_documented_admin_route_exists():
    documented = set(re.findall(r"`(GET|POST|PUT|DELETE) (/(?:api|healthz|readyz|metrics|openapi)[^`?]*)`", page("API_REFERENCE.md")))
    assert documented == set(admin_routes())


def test_every_query_parameter_that_is_read_is_in_the_table():
    read = {name for layer in ("core", "cli") for path in sorted((ROOT / layer).glob("*.c"))
            for name in re.findall(r'(?:nx_gw_req_query|query_time)\(req, "(\w+)"', path.read_text(encoding="utf-8"))}
    described = set(re.findall(r'\{[\s\\]*"(\w+)", "?[^"{}]+"?, "', source("core/admin_routes.c") + source("cli/routes.c")))
    assert len(read) > 15 and read <= described, read - described


def test_every_variable_of_a_run_is_documented():
    text = page("WRITING_FUNCTIONS.md")
    names = re.findall(r'env_add\(r, "([A-Z_]+)"', source("core/dispatch.c"))
    names += re.findall(r'NX_SLICE\("(NEXUS_[A-Z_]+)"\)', source("replay/repeat.c"))
    assert len(names) >= 13
    assert not [name for name in names if f"`{name}`" not in text]


def test_every_reason_is_documented():
    text = page("WRITING_FUNCTIONS.md")
    table = re.search(r"why_names\[\] = \{([^}]*)\}", source("base/run.c")).group(1)
    reasons = [word for word in re.findall(r'"(\w+)"', table) if word != "none"]
    assert len(reasons) >= 11
    assert not [reason for reason in reasons if f"| `{reason}` |" not in text]


def test_every_wasi_call_is_documented_once():
    section = page("WRITING_FUNCTIONS.md").partition("## What WASI answers")[2].partition("\n## ")[0]
    table = source("runtime/wasi/table.c")
    calls = re.findall(r"^    ROW\((\w+),", table, re.M) + re.findall(r'^    \{\s*"(\w+)",', table, re.M)
    assert len(calls) >= 45
    told = re.findall(r"`([a-z_]+)`", section)
    assert sorted(told) == sorted(calls)


def test_troubleshooting_quotes_what_the_program_says():
    """Each text of the tables, cut at its `…`, stands in the sources; so nobody searches the page for a text that no longer exists."""
    said = "".join(path.read_text(encoding="utf-8") for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.[ch]")))
    said = re.sub(r'"\s*(?:/\*.*?\*/\s*)?"', "", said)  # adjacent string literals
    said = said.replace("\\n", " ").replace('\\"', '"').replace('" NX_CLI_PROJECT_FILE "', "nexus.yaml")
    missing = []
    for line in page("TROUBLESHOOTING.md").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if not line.startswith("| ") or len(cells) < 3:
            continue
        quoting = cells[1] if re.fullmatch(r"\d{1,3}|`[a-z]+: [a-z_]+`", cells[0]) else cells[0]
        for text in re.findall(r"``\s?(.+?)\s?``(?!`)|(?<!`)`([^`]+)`(?!`)", quoting):
            for part in re.split(r"…|\d+", text[0] or text[1]):
                part = part.strip(" '\"(){}:,;?")
                if len(part) > 3 and part not in said and not re.fullmatch(r"[A-Z_]+|pid", part):
                    missing.append(f"{part!r} of {line}")
    assert not missing, "\n".join(missing)


def commands_named():
    """(page, command) for what prose names and for blocks that are not run."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ROADMAP.md", *sorted(DOCS.glob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]
    for path in pages:
        text = re.sub(r"^ *```(?!sh no-run).*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
        for found in re.finditer(r"`(?:build/)?nexus ([a-z-][^`\n]*)`|^(?:build/)?nexus ([a-z-].+)$", text, re.M):
            yield path.name, (found[1] or found[2]).partition(" #")[0].partition(" | ")[0]


def test_every_command_that_a_page_names_exists():
    """What is shown in blocks is run by test_docs; here what is named beside them, with its flags."""
    general = nexus("--help").stdout
    verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", general.partition("Commands\n")[2], re.M)
    helps = {verb: general + nexus(*verb.split(), "--help").stdout for verb in verbs}
    groups = {verb.split()[0] for verb in verbs}
    commands, wrong = list(commands_named()), []
    for page_name, command in commands:
        words = command.split()
        verb = next((v for v in (" ".join(words[:2]), words[0]) if v in helps), None)
        if not verb:
            wrong += [f"{page_name}: {command}"] if words[0] not in groups else []
            continue
        wrong += [f"{page_name}: {command}: {flag}" for flag in re.findall(r"(?<!\S)(--?[a-zA-Z][a-z-]*)", command)
                  if not re.search(rf"(?<![\w-]){flag}(?![\w-])", helps[verb])]
    assert len(commands) > 100
    assert not wrong, "\n".join(wrong)


def test_every_metric_of_a_node_is_documented_with_its_kind(project, guests):
    project.write({"functions": [function("hello", project.module(guests.wat("answer.wat", TEXT="hello", LENGTH=5)))]})
    with Node(project) as node:
        assert node.call("hello", b"x").status_code == 200
        exposed = set(re.findall(r"^# TYPE (\w+) (\w+)$", node.client.get(f"{node.admin_url}/metrics").text, re.M))
    documented = set(re.findall(r"^\| `(nexus_\w+)` \| (\w+) \|", page("API_REFERENCE.md"), re.M))
    assert len(exposed) > 10
    assert exposed - documented == set()


# ---- samples


def samples(language):
    return [(path.name, text) for path in sorted(DOCS.glob("*.md"))
            for text in re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)]


def whole(text):
    """A file of settings from the part that a page shows."""
    if text.startswith(" "):
        on = "" if re.search("^    on:", text, re.M) else "    on: {event: user.created}\n"
        text = f"functions:\n  - name: shown\n    code: ./shown.wasm\n{on}{text}"
    return text if text.startswith("version: v1\n") else f"version: v1\n{text}"


def test_settings_shown_are_valid(tmp_path):
    shown = [(name, whole(text)) for name, text in samples("yaml")]
    assert len(shown) >= 15
    for name, text in shown:
        file = tmp_path / "nexus.yaml"
        file.write_text(text)
        result = nexus("validate", "--no-code", "--no-functions", file, check=False)
        assert result.returncode == 0, f"{name}:\n{text}{result.stdout}{result.stderr}"


def test_c_function_shown_answers_what_it_was_sent(project, guests, tmp_path):
    ((_, text),) = [(name, text) for name, text in samples("c") if "handle_event" in text]
    (tmp_path / "shown.c").write_text(text)
    built = guests.c(tmp_path / "shown.c", "-include", str(ROOT / "sdk" / "c" / "nexus_flush.h"))  # as in WASI_CFLAGS of `nexus build`
    project.write({"functions": [function("shown", project.module(built))]})
    with Node(project) as node:
        assert node.call("shown", b"as it was sent").content == b"as it was sent"


def test_rust_function_shown_is_the_missions():
    assert (GUESTS / "mission.rs").read_text() in [text for _, text in samples("rust")]


# ---- the recorded demonstration

SHOWN = ("nexus new my-app --lang=rust", "nexus dev", "curl -X POST http://localhost:", '"status": "published"', "nexus logs --event @last",
         "Processing user event", "nexus replay @last", "Replay completed in", "identical")


def check_cast(path):
    header, *events = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    assert header["version"] == 2 and header["width"] and header["height"]
    times = [event[0] for event in events]
    assert times == sorted(times)
    assert 5 < times[-1] < 90
    assert all(event[1] == "o" for event in events)
    # Lines that are wrapped at the edge of the terminal are whole again without what wraps them.
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]| \r", "", "".join(event[2] for event in events))
    assert [shown for shown in SHOWN if shown not in text] == []
    places = [text.index(shown) for shown in SHOWN]
    assert places[0] == min(places) and places[-1] == max(places)
    for private in (str(ROOT), str(Path.home()) if len(str(Path.home())) > 1 else None, socket.gethostname(), "/tmp/", "/home/"):
        assert not private or private == "localhost" or private not in text
    return text


def test_recorded_demo_is_fit_to_be_shown():
    assert (DOCS / "demo.cast").stat().st_size < 60000
    check_cast(DOCS / "demo.cast")


@pytest.mark.timeout(180)
def test_demo_can_be_recorded_anew(tmp_path):
    cast = tmp_path / "demo.cast"
    result = subprocess.run([sys.executable, str(ROOT / "scripts" / "demo"), "--port", "0", "--output", str(cast)], capture_output=True, text=True,
                            check=False, timeout=150, env=environment(NEXUS_BIN=NEXUS, HOME=os.environ.get("HOME")))
    assert result.returncode == 0, result.stdout + result.stderr
    check_cast(cast)

"""`files:` of a function: what its artifact brings along, and what becomes of it in versions, bundles and replays."""

import pytest
from nexus.node import SLOW, Node, function, nexus
from nexus.wait import wait_until


@pytest.fixture
def templates(project):
    folder = project.dir / "templates"
    (folder / "mails").mkdir(parents=True)
    (folder / "mails" / "welcome.txt").write_text("Dear {name}")
    (folder / ".secret").write_text("not for guests")
    (folder / "draft.txt~").write_text("an editor's")
    (folder / "link").symlink_to("mails/welcome.txt")
    (folder / "out").symlink_to("/etc/passwd")
    (project.dir / "words.txt").write_text("one two")
    return folder


@pytest.fixture
def shows(project, guests, templates):
    code = project.module(guests.rust("own_files.rs"), "shows.wasm")
    project.write({"functions": [function("shows", code, respond="sync", files=["./templates", "words.txt"])]})
    return project


NOENT, PERM, ROFS = "error 44", "error 63", "error 69"


def ask(node, path):
    return node.call("shows", path.encode()).text


def test_a_function_reads_its_own_files_and_changes_none(shows):
    with Node(shows) as node:
        assert ask(node, "/") == "templates tmp words.txt"
        assert ask(node, "/templates") == "link mails out"
        assert ask(node, "templates/mails/welcome.txt") == "Dear {name}"
        assert ask(node, "/templates/link") == "Dear {name}"
        assert ask(node, "/templates/../tmp/../words.txt") == "one two"
        assert ask(node, "/templates/out") == PERM
        assert ask(node, "/templates/.secret") == ask(node, "/templates/draft.txt~") == NOENT
        for path in ("/words.txt", "/templates/new", "/new"):
            assert ask(node, f"change {path}") == ROFS, path
        assert ask(node, "change /tmp/new") == "changed"
        assert "one two" == ask(node, "/words.txt")


def test_a_save_of_a_file_is_served_at_once(shows, templates):
    with Node(shows) as node:
        assert ask(node, "/templates/mails/welcome.txt") == "Dear {name}"
        (templates / "mails" / "welcome.txt").write_text("Hello {name}")
        wait_until(lambda: ask(node, "/templates/mails/welcome.txt") == "Hello {name}", "the new text", 3 * SLOW, every=0.02, on_failure=node.log)
        (templates / "mails" / "later.txt").write_text("later")
        wait_until(lambda: ask(node, "/templates/mails") == "later.txt welcome.txt", "the new file", 3 * SLOW, every=0.02, on_failure=node.log)
        (shows.dir / "words.txt").unlink()  # whole or not at all: what is gone stops nothing
        node.wait_log("words.txt")
        assert ask(node, "/words.txt") == "one two"


def test_versions_and_replays_keep_the_files_they_had(shows, templates):
    with Node(shows, verb="serve") as node:
        first = node.json("deploy", "--no-build")[0]
        assert first["version"] == "v1" and first["created"]
        assert not node.json("deploy", "--no-build")[0]["created"]
        event = node.call("shows", b"/templates/mails/welcome.txt").headers["nexus-event-id"]
        run = node.run_of(event)
        (templates / "mails" / "welcome.txt").write_text("Hello {name}")
        assert node.json("deploy", "--no-build")[0]["version"] == "v2"
        assert ask(node, "/templates/mails/welcome.txt") == "Hello {name}"
        assert node.whole_run(run["run_id"])["output"] == "Dear {name}"
        assert [r["verdict"] for r in node.replay(event)] == ["identical"]
        changed = node.json("replay", event, "--against", "v2", check=False)[0]
        assert changed["verdict"] == "diverged" or not changed["diff"]["same"], changed
        # Nothing of this machine's files is needed for a restart, or for a replay then.
        templates.rename(shows.dir / "gone")
        node.restart()
        assert ask(node, "/templates/mails/welcome.txt") == "Hello {name}"
        assert [r["verdict"] for r in node.replay(event)] == ["identical"]


def test_a_bundle_holds_the_files_and_is_replayed_without_a_node(shows, templates, tmp_path):
    bundle = tmp_path / "run.nxb"
    with Node(shows) as node:
        event = node.call("shows", b"/templates/mails/welcome.txt").headers["nexus-event-id"]
        node.run_of(event)
        node.nexus("bundle", event, "-o", bundle)
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    assert '"identical"' in nexus("replay", bundle, "--json", cwd=tmp_path, env=home).stdout
    # The same module with the files as they are now.
    (templates / "mails" / "welcome.txt").write_text("Hello {name}")
    done = nexus("replay", bundle, "--against", "shows.wasm", "--json", cwd=shows.dir, env=home, check=False)
    assert done.returncode == 10 and "Hello" in done.stdout, done.stdout + done.stderr


def test_inspect_of_an_artifact_lists_its_files(shows):
    with Node(shows) as node:
        digest = node.api_list("functions")[0]["artifact"]
        artifact = node.client.get(f"{node.admin_url}/api/v1/artifacts/{digest}").content
    (shows.dir / "artifact.wasm").write_bytes(artifact)
    out = nexus("inspect", "artifact.wasm", cwd=shows.dir).stdout
    assert "/templates/mails/welcome.txt (11 B)" in out and "/words.txt" in out and ".secret" not in out, out


@pytest.mark.parametrize("files, says", [
    (["../outside"], "not a path below this file's folder"),
    (["/etc/passwd"], "not a path below this file's folder"),
    (["."], "is the whole project"),
    (["./tmp"], "would hide /tmp"),
    (["templats"], "does not exist"),
])
def test_validate_says_which_files_can_not_be_had(shows, files, says):
    shows.write({"functions": [function("shows", "./shows.wasm", files=files)]})
    done = shows.nexus("validate", check=False)
    assert done.returncode == 2 and says in done.stdout + done.stderr, done.stdout + done.stderr


def test_too_large_files_are_refused_before_anything_is_sent(shows):
    with open(shows.dir / "templates" / "huge.bin", "wb") as f:
        f.truncate(33 << 20)
    done = shows.nexus("validate", check=False)
    assert done.returncode != 0 and "32 MiB" in done.stdout + done.stderr, done.stdout + done.stderr

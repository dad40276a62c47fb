"""Every command that README.md and docs/*.md show works as it stands (nexus/documents.py says which blocks are run, and how)."""

import pytest
from nexus.documents import Block, Shell, blocks
from nexus.paths import ROOT

DOCUMENTS = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
             if p.exists() and any(b.is_run for b in blocks(p))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_commands_work(document, tmp_path):
    with Shell(tmp_path / document.stem) as shell:
        assert shell.run_all(document) > 0


def test_failing_command_fails_the_block(tmp_path):
    with Shell(tmp_path / "x") as shell:
        with pytest.raises(AssertionError):
            shell.run(Block(1, "false\ntrue\n"))
        with pytest.raises(AssertionError):
            shell.run(Block(1, "nexus no-such-command\n"))
        shell.run(Block(1, "exit 3\n", ["exit=3"]))
        shell.run(Block(1, "mkdir deep\ncd deep\nword=kept\n"))
        assert shell.run(Block(1, 'pwd\necho "$word"\n')).splitlines() == [str(tmp_path / "x" / "deep"), "kept"]


def test_some_documents_are_run():
    assert {"README.md", "GETTING_STARTED.md"} <= {d.name for d in DOCUMENTS}

"""How weights were made can be looked up later."""

from __future__ import annotations

import subprocess
from pathlib import Path

from model.provenance import commit, provenance


def test_a_repository_s_commit_is_named_and_marked_once_files_differ(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "One")
    assert commit(tmp_path) == git("rev-parse", "HEAD").strip()
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == git("rev-parse", "HEAD").strip() + "-dirty"


def test_outside_a_repository_the_commit_is_unknown(tmp_path: Path) -> None:
    assert commit(tmp_path) == "unknown"


def test_command_and_versions_are_part_of_it() -> None:
    made = provenance()
    assert made.keys() == {"commit", "command", "versions"}
    assert {"torch", "pheye-service"} <= made["versions"].keys()

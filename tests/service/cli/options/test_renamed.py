"""Commands under their old names: they do what the new ones do, and say what to type now."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.cli.options.renamed import COMMANDS


@pytest.mark.parametrize("old", COMMANDS)
def test_an_old_name_is_understood_with_a_warning(old: str) -> None:
    now = CliRunner().invoke(app, [*COMMANDS[old].split(), "-h"])
    found = CliRunner().invoke(app, [old, "-h"])
    assert found.exit_code == now.exit_code == 0
    assert found.stdout == now.stdout
    warning, *_ = found.stderr.splitlines()
    assert warning == f"pheye: 'pheye {old}' is now 'pheye {COMMANDS[old]}'; the next version will not know it"
    assert now.stderr == ""


def test_what_follows_an_old_name_is_kept() -> None:
    found = CliRunner().invoke(app, ["bench", "--only", "nothing"])
    assert found.exit_code == 2
    assert "'nothing' is not one of" in found.stderr


def test_an_old_name_is_one_only_in_front() -> None:
    found = CliRunner().invoke(app, ["evaluate", "bench"])
    assert found.exit_code == 2
    assert "No such command 'bench'" in found.stderr
    assert "is now" not in found.stderr


def test_a_shell_that_completes_an_old_line_hears_no_warning() -> None:
    environment = {"_PHEYE_COMPLETE": "complete_bash", "COMP_WORDS": "pheye bench --qu", "COMP_CWORD": "2"}
    found = CliRunner().invoke(app, [], env=environment, prog_name="pheye")
    assert found.stdout.split() == ["--quick"]
    assert found.stderr == ""

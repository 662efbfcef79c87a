"""`pheye dev gpu`: the servers that it starts are commands that exist, and so are the parts that are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from service.bench.gpu.server import command_words
from service.cli.main import app


@pytest.mark.parametrize("kind", ["service", "baseline"])
def test_a_server_that_is_loaded_is_started_by_a_command_that_exists(kind: str) -> None:
    command, words = get_command(app), command_words(kind, "random:pheye-micro", "cpu")
    while inner := getattr(command, "commands", None):
        command, words = inner[words[0]], words[1:]
    context = command.make_context("pheye", words)
    assert context.params["model"] == "random:pheye-micro"
    assert context.params["devices"] == "cpu"


def test_a_part_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["dev", "gpu", "--device", "cpu", "--only", "machine,corectness", "--report", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert "--only: there is no part 'corectness'; there are machine, correctness, speed, " in done.output
    assert not list(tmp_path.iterdir())

"""`pheye dev gpu`: the servers that it starts are commands that exist."""

from __future__ import annotations

import pytest
from typer.main import get_command

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

"""Options that several commands have: their bounds hold in each."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from service.cli.main import app


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--model", "pheye-tiny", "--data", "nowhere.jsonl", "--output", "nowhere"],
        ["dev", "ablate", "nowhere", "--variants", "none"],
        ["dev", "bench", "--model", "nowhere"],
    ],
    ids=["train", "ablate", "bench"],
)
def test_threads_by_the_million_are_refused_before_torch_breaks_on_them(command: list[str]) -> None:
    ended = CliRunner().invoke(app, [*command, "--threads", "99999999"])
    assert ended.exit_code == 2
    assert "Invalid value for '--threads': Input should be less than or equal to 1024" in ended.output

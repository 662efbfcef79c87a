"""The metrics file: every step once, also after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.training.artifacts.journal import MetricsFile, TrainingStep, read_journal


def report(done: int, stage: str = "I") -> TrainingStep:
    return TrainingStep(done, 10, stage, done, 1.0 / done, 0.5, 1e-4, 100, 1.0, 20.0)


def test_each_step_is_a_line_of_json(tmp_path: Path) -> None:
    with MetricsFile(tmp_path / "metrics.jsonl", done=0) as journal:
        journal.write(report(1))
        journal.write(report(2))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["done"] for line in lines] == [1, 2]
    assert lines[1]["loss"] == 0.5


def test_a_resumed_run_takes_out_steps_that_it_does_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path, done=0) as first:
        for done in (1, 2, 3):
            first.write(report(done))
    with MetricsFile(path, done=2) as second:
        second.write(report(3, stage="again"))
    assert [(each.done, each.stage) for each in read_journal(path)] == [(1, "I"), (2, "I"), (3, "again")]


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path, done=0) as journal:
        journal.write(report(1))
    with path.open("a") as file:
        file.write('{"done": 2, "tot')
    assert read_journal(path) == [report(1)]
    with MetricsFile(path, done=1):
        pass
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("line", ["{", "5", '{"done": 2}', "\xff\xfe", "[" * 100_000])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path, done=0) as journal:
        journal.write(report(1))
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl: line 2 is damaged; remove it"):
        read_journal(path)

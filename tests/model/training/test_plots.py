"""Plots of a run come from its metrics file."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from model.training.journal import MetricsFile
from model.training.plots import plot_run, smoothed
from tests.model.training.test_journal import report


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    with MetricsFile(tmp_path / "metrics.jsonl", done=0) as journal:
        for done in range(1, 11):
            journal.write(report(done, stage="I" if done < 6 else "II"))
    return tmp_path / "metrics.jsonl"


def test_a_run_becomes_an_image_with_a_curve_for_each_stage(metrics: Path) -> None:
    plot_run(metrics, metrics.with_name("run.png"))
    with Image.open(metrics.with_name("run.png")) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # matplotlib's first two


def test_a_run_without_a_step_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no step in it"):
        plot_run(tmp_path / "metrics.jsonl", tmp_path / "run.png")


def test_few_steps_are_drawn_as_they_are() -> None:
    reports = [report(1), report(2)]
    assert smoothed(reports, 200) == reports

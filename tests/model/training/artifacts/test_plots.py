"""Plots of a run come from its metrics file."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from model.training.artifacts.journal import MetricsFile, ValidationReport
from model.training.artifacts.plots import drawn_run, plot_run, smoothed
from tests.model.training.artifacts.test_journal import report


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


def test_validations_are_drawn_over_the_curves_and_the_best_is_marked(metrics: Path, tmp_path: Path) -> None:
    with MetricsFile(metrics, done=10) as journal:
        for done, loss in ((0, 5.0), (5, 0.2), (10, 0.3)):
            journal.write(ValidationReport(done, loss, 0.5, 0.6, 0.4, "words right", 5, 5, 1.0, best=done == 5))
    plot_run(metrics, tmp_path / "run.svg")
    drawn = (tmp_path / "run.svg").read_text()
    assert all(
        f"<!-- {label} -->" in drawn for label in ("validation", "validation: words right", "best, which is written")
    )


def test_the_legends_stand_above_the_curves_and_within_the_picture(metrics: Path) -> None:
    with MetricsFile(metrics, done=10) as journal:
        for done in range(11, 21):
            journal.write(report(done, stage="III"))
        journal.write(ValidationReport(20, 5, 0.5, 0.6, 0.4, "exact match and words right", 5, 5, 1.0, best=True))
    figure = drawn_run(metrics)
    figure.draw_without_rendering()
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is not None
        assert len(legend.get_texts()) == 5
        box = legend.get_window_extent()
        assert box.y0 >= axes.bbox.y1
        assert box.x1 <= figure.bbox.x1

"""Plots of a run: loss, accuracy and validations by step, made from its metrics file.

Knows no tensors. Any process, main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from model.training.artifacts.journal import TrainingStep, ValidationReport, read_journal, read_validations
from model.whole_files import path_appearing_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 200  # each point of the curve is a mean over so many parts of the run


def plot_run(metrics: Path, target: Path) -> None:
    """Draw loss and accuracy of a run's output tokens by step, stages side by side, into an image file.

    Validations, where there are any, are drawn over them: their loss, and the score of the answers.

    Args:
        metrics: the run's `metrics.jsonl`.
        target: `.png`, `.svg` or `.pdf`.

    Raises:
        ValueError: there is nothing to draw.
    """
    with path_appearing_whole(target) as partial:
        drawn_run(metrics).savefig(partial, dpi=120)


def drawn_run(metrics: Path) -> Figure:
    """Draw what `plot_run` writes."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    reports = read_journal(metrics)
    if not reports:
        raise ValueError(f"{metrics}: there is no step in it")
    figure = Figure(figsize=(9, 6), layout="constrained")
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    for stage, group in groupby(reports, key=lambda report: report.stage):
        points = smoothed(list(group), _POINTS)
        steps = [point.done for point in points]
        loss.plot(steps, [point.loss for point in points], label=f"stage {stage}")
        accuracy.plot(steps, [point.accuracy for point in points], label=f"stage {stage}")
    loss.set(ylabel="loss (nats per output token)", yscale="log")
    accuracy.set(ylabel="output tokens right (share)", xlabel="step", ylim=(0, 1.02))
    _draw_validations(loss, accuracy, read_validations(metrics))
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1)}  # the curves, which it would cover
        axes.legend(**above, ncols=5, frameon=False, fontsize="small")
    return figure


def _draw_validations(loss: Axes, accuracy: Axes, reports: Sequence[ValidationReport]) -> None:
    if not reports:
        return
    steps, best = [report.done for report in reports], [report for report in reports if report.best][-1:]
    losses, scores = [report.loss for report in reports], [report.score for report in reports]
    for axes, values, label in ((loss, losses, "validation"), (accuracy, scores, f"validation: {reports[0].metric}")):
        axes.plot(steps, values, marker="o", linestyle="--", color="black", label=label)
        for report in best:
            axes.axvline(report.done, color="black", alpha=0.3, label="best, which is written")


def smoothed(reports: Sequence[TrainingStep], points: int) -> list[TrainingStep]:
    """Average neighbouring reports, weighted by output tokens, down to at most so many; each stands at its last step.

    >>> reports = [TrainingStep(n, 4, "I", n, float(n), 0.5, 1e-4, 10, 1.0, 5.0) for n in (1, 2, 3, 4)]
    >>> [(report.done, report.loss) for report in smoothed(reports, 2)]
    [(2, 1.5), (4, 3.5)]
    """
    size = -(-len(reports) // points)
    return [_mean(reports[start : start + size]) for start in range(0, len(reports), size)]


def _mean(reports: Sequence[TrainingStep]) -> TrainingStep:
    tokens, last = sum(report.output_tokens for report in reports), reports[-1]
    loss, accuracy = (
        sum(value * report.output_tokens for value, report in zip(values, reports, strict=True)) / tokens
        for values in ([report.loss for report in reports], [report.accuracy for report in reports])
    )
    numbers = (last.learning_rate, tokens, last.gradient_norm, last.images_per_s)
    return TrainingStep(last.done, last.total, last.stage, last.step, loss, accuracy, *numbers)

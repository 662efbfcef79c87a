"""Bar charts of a run: speed-up of each workload, and how close it comes to the machine's ceiling.

Needs matplotlib, which comes with the `train` extra. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.bench.result import BenchReport, BenchResult, Verdict
from model.whole_files import path_appearing_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"float32": "#0072b2", "bfloat16": "#009e73", "int8": "#e69f00", "int4": "#cc79a7"}
_BAR_INCHES = 0.28
_ERROR = {"elinewidth": 0.8}


def plot_report(report: BenchReport, file: Path) -> None:
    """Draw every result of a run; targets are black marks.

    Args:
        report: the run, with at least one result.
        file: a .png, .svg or .pdf.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    figure = Figure(figsize=(12, 1.6 + _BAR_INCHES * len(report.results)), layout="constrained")
    ratios, shares = figure.subplots(1, 2, sharey=True)
    judged = {verdict.result: verdict for verdict in report.verdicts}
    verdicts = [judged.get(result) for result in report.results]
    _ratios(ratios, report.results, verdicts)
    _shares(shares, report.results, verdicts)
    for axes in (ratios, shares):
        axes.spines[["top", "right"]].set_visible(False)
    ratios.invert_yaxis()
    figure.suptitle(f"{report.machine.accelerator or report.machine.cpu}; black marks are targets")
    with path_appearing_whole(file) as partial:
        figure.savefig(partial, dpi=120)


def _ratios(axes: Axes, results: Sequence[BenchResult], verdicts: Sequence[Verdict | None]) -> None:
    spreads = [result.race.ratio for result in results]
    below, above = ([s.median - s.low for s in spreads], [s.high - s.median for s in spreads])
    lengths = [spread.median - 1 for spread in spreads]  # from 1, where neither side is quicker
    axes.barh(range(len(results)), lengths, left=1, color=_colours(results), xerr=(below, above), error_kw=_ERROR)
    _marks(axes, [None if verdict is None else verdict.target.ratio for verdict in verdicts])
    for place, spread in enumerate(spreads):
        axes.annotate(f" {spread.median:.1f}x", (max(spread.high, 1), place), va="center", fontsize=8)
    axes.set_yticks(range(len(results)), [f"{r.model} {r.dtype}: {r.label}" for r in results], fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.margins(x=0.12)
    axes.set_xlabel("times quicker than the baseline")


def _shares(axes: Axes, results: Sequence[BenchResult], verdicts: Sequence[Verdict | None]) -> None:
    axes.barh(range(len(results)), [100 * result.share_of_ceiling for result in results], color=_colours(results))
    _marks(axes, [None if v is None or v.target.share is None else 100 * v.target.share for v in verdicts])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the machine's ceiling")


def _colours(results: Sequence[BenchResult]) -> list[str]:
    return [_COLOURS.get(result.dtype, "#888888") for result in results]


def _marks(axes: Axes, wanted: Sequence[float | None]) -> None:
    there = [(value, place) for place, value in enumerate(wanted) if value is not None]
    axes.scatter(
        [value for value, _ in there], [place for _, place in there], color="black", marker="|", s=120, zorder=3
    )

"""Plots of a run: throughput, latency, cost of an answer, and ratios, over pressure or share of hits.

Owns the look. Needs matplotlib, which comes with the `train` extra. One thread at a time: matplotlib's is a global.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.report.results import Ratio, ResultRow
from loadtest.sweep import Load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_MARKS = "osv^Dx"  # colour alone is not for everyone
_LATENCIES = {"latency_p50_s": "-", "latency_p90_s": "--", "latency_p99_s": ":", "first_token_p50_s": "-."}
_RATIOS = {"answers_per_s": "-", "latency_p50_s": "--"}
_SHORT = {
    "latency_p50_s": "p50",
    "latency_p90_s": "p90",
    "latency_p99_s": "p99",
    "first_token_p50_s": "first text p50",
    "answers_per_s": "answers/s",
}


class NothingToPlot(RuntimeError):
    """Plot that cannot be drawn; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class _Across:
    """Horizontal axis, in which the loads of a run differ: pressure, or else the share of hits."""

    label: str
    over_hits: bool

    def place(self, load: Load) -> float:
        return float(load.mix.hits if self.over_hits else load.loop.pressure)

    def line(self, name: str, load: Load) -> str:
        """Return the label of the line through a load."""
        return f"{name}, {load.mix.hits:.0%} hits" if load.mix.hits and not self.over_hits else name


def check_plot() -> None:
    """Check that a plot could be drawn, before hours of work.

    Raises:
        PlotError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise NothingToPlot("plots need matplotlib: pip install 'pheye-service[train]'") from None


def plot(rows: Sequence[ResultRow], ratios: Sequence[Ratio], file: Path) -> None:
    """Plot throughput, latency and the cost of an answer over what the loads differ in, and how servers compare.

    Args:
        rows: at least one.
        ratios: of servers to each other; with none of them tokens per second are drawn in their place.
        file: a .png, .svg or .pdf.

    Raises:
        PlotError: as `check_plot`.
        OSError: the file cannot be written.
    """
    check_plot()
    from matplotlib.figure import Figure

    across = _across(rows)
    servers = [(across.line(row.server, row.load), row) for row in rows]
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    throughput, latency, cost, last = figure.subplots(2, 2).flat
    _draw(throughput, across, servers, {"answers_per_s": "-"}, "answers per second")
    _draw(latency, across, servers, _LATENCIES, "seconds to an answer")
    closed = any(row.figures["s_per_answer"] for row in rows)
    _draw(
        cost, across, servers, {"s_per_answer" if closed else "engine_s_per_answer": "-"}, "server seconds per answer"
    )
    if ratios:
        pairs = [(across.line(f"{ratio.server} / {ratio.other}", ratio.load), ratio) for ratio in ratios]
        _draw(last, across, pairs, _RATIOS, "ratio")
        last.axhline(1.0, color="#999999", linewidth=1)
    else:
        _draw(last, across, servers, {"tokens_per_s": "-"}, "tokens per second")
    figure.savefig(file, dpi=120)


def _across(rows: Sequence[ResultRow]) -> _Across:
    over_hits = len({row.load.loop.pressure for row in rows}) == 1
    return _Across("share of hits" if over_hits else rows[0].load.loop.unit, over_hits)


def _draw(
    axes: Axes,
    across: _Across,
    named: Sequence[tuple[str, ResultRow | Ratio]],
    figures: Mapping[str, str],
    label: str,
) -> None:
    """Draw lines of medians, within bands from lowest to highest.

    Args:
        axes: where.
        across: the horizontal axis.
        named: what each point's line is called, and the point.
        figures: what to draw, by name, and in which style.
        label: of the vertical axis.
    """
    for place, name in enumerate(dict.fromkeys(name for name, _ in named)):
        colour, mark = _COLOURS[place % len(_COLOURS)], _MARKS[place % len(_MARKS)]
        points = sorted((point for line, point in named if line == name), key=lambda point: across.place(point.load))
        for figure, style in figures.items():
            known = [(across.place(point.load), each) for point in points if (each := point.figures[figure])]
            if not known:
                continue
            at, spreads = [x for x, _ in known], [each for _, each in known]
            said = name if len(figures) == 1 else f"{name} {_SHORT[figure]}"
            axes.plot(at, [each.median for each in spreads], style, color=colour, marker=mark, label=said)
            if style == "-":
                low, high = [each.low for each in spreads], [each.high for each in spreads]
                axes.fill_between(at, low, high, color=colour, alpha=0.15)
    _finish(axes, across, sorted({across.place(point.load) for _, point in named}), label)


def _finish(axes: Axes, across: _Across, places: Sequence[float], label: str) -> None:
    if not across.over_hits:
        axes.set_xscale("log", base=2)
    if all(place.is_integer() for place in places) or across.over_hits:
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
    axes.set(xlabel=across.label, ylabel=label, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.has_data():
        axes.legend(frameon=False, fontsize=8)

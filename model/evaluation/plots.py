"""Plots of an evaluation: scores by tertile in two runs, and attention by layer.

Owns the look. Needs matplotlib, which comes with the `train` extra. One thread at a time: matplotlib's is a global.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.evaluation.attention import LayerMean
from model.evaluation.tertiles import ScoreChange
from model.whole_files import path_appearing_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Mapping[str, str] = {"all": "#444444", "fine": "#0072b2", "medium": "#e69f00", "broad": "#009e73"}
_MARKS: Mapping[str, str] = {"all": "o", "fine": "v", "medium": "s", "broad": "^"}  # colour alone is not for everyone
_FORMATS = (".png", ".svg", ".pdf")


class PlotError(ValueError):
    """Plot that cannot be drawn; the message says what is missing."""


def check_plot(file: Path) -> None:
    """Check that a plot could be drawn into such a file, before hours of work.

    Raises:
        PlotError: its name ends otherwise than in .png, .svg or .pdf, or matplotlib is not installed.
    """
    if file.suffix.lower() not in _FORMATS:
        raise PlotError(f"{file}: a plot is written as {', '.join(_FORMATS)}; choose such a name")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise PlotError("plots need matplotlib: pip install 'pheye-service[train]'") from None


def plot_changes(found: Sequence[ScoreChange], names: tuple[str, str], file: Path) -> None:
    """Draw two runs as bars by tertile, with the relative change above, one panel a metric (Table 2 of the paper).

    Args:
        found: from `model.evaluation.tertiles.changes`.
        names: what the runs are called.
        file: a .png, .svg or .pdf.

    Raises:
        PlotError: as `check_plot`.
        OSError: the file cannot be written.
    """
    check_plot(file)
    metrics = list(dict.fromkeys(each.metric for each in found))
    figure, panels = _figure(len(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        _bars(axes, [each for each in found if each.metric == metric], names)
        axes.set_title(metric)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    with path_appearing_whole(file) as partial:
        figure.savefig(partial, dpi=150)


def _bars(axes: Axes, changes: Sequence[ScoreChange], names: tuple[str, str]) -> None:
    places = range(len(changes))
    axes.bar(
        [place - 0.2 for place in places], [each.before for each in changes], 0.38, color="#bbbbbb", label=names[0]
    )
    axes.bar([place + 0.2 for place in places], [each.after for each in changes], 0.38, color="#0072b2", label=names[1])
    for place, each in zip(places, changes, strict=True):
        said = "" if each.relative is None else f"{each.relative:+.1f} %"
        axes.annotate(said, (place, max(each.before, each.after)), ha="center", va="bottom", fontsize=9)
    axes.set_xticks(list(places), [f"{each.tertile}\n{each.cases} cases" for each in changes])
    axes.set_ylabel("score")
    axes.margins(y=0.12)


def plot_shares(means: Sequence[LayerMean], name: str, file: Path) -> None:
    """Draw the global view's share of attention over the layers, a line for each tertile (figure 4 of the paper).

    Args:
        means: from `model.evaluation.attention.shares_by_layer`.
        name: what the run is called.
        file: a .png, .svg or .pdf.

    Raises:
        PlotError: as `check_plot`.
        OSError: the file cannot be written.
    """
    check_plot(file)
    figure, (axes,) = _figure(1)
    for tertile in dict.fromkeys(each.tertile for each in means):
        line = [each for each in means if each.tertile == tertile]
        axes.plot(
            [each.layer for each in line],
            [each.global_share for each in line],
            color=_COLOURS[tertile],
            marker=_MARKS[tertile],
            label=f"{tertile} ({line[0].answers})",
        )
    axes.set_xticks(sorted({each.layer for each in means}))
    axes.set_xlabel("decoder layer")
    axes.set_ylabel("share of attention on the global view")
    axes.set_ylim(0, 1)
    axes.set_title(name)
    axes.legend(frameon=False)
    with path_appearing_whole(file) as partial:
        figure.savefig(partial, dpi=150)


def _figure(panels: int) -> tuple[Any, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 4.5 * panels, 4), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes

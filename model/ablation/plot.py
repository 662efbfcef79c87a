"""Bar chart of the ablation study: right captions, counts and signs of each variant. Needs matplotlib. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.ablation.study import AblationResult
from model.whole_files import path_appearing_whole

_KINDS = {  # kind -> what it is called, and its colour
    "sign small": ("small signs read", "#0072b2"),
    "sign medium": ("medium signs read", "#56b4e9"),
    "sign large": ("large signs read", "#009e73"),
    "count": ("shapes counted", "#e69f00"),
    "caption": ("captions without a fault", "#999999"),
}


def plot_results(results: Sequence[AblationResult], file: Path) -> None:
    """Draw a group of bars for each variant.

    Args:
        results: in the order in which they are shown.
        file: .png, .svg or .pdf.
    """
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    figure = Figure(figsize=(2 + 1.3 * len(results), 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(_KINDS)
    for place, (kind, (name, colour)) in enumerate(_KINDS.items()):
        shares = [100 * (result.share(kind) or 0.0) for result in results]
        axes.bar(
            [group + (place - 2) * width for group in range(len(results))], shares, width, color=colour, label=name
        )
    axes.set_xticks(range(len(results)), [result.variant for result in results])
    axes.set_ylabel("right, %")
    axes.set_ylim(0, 100)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(_KINDS), frameon=False)
    with path_appearing_whole(file) as partial:
        figure.savefig(partial, dpi=120)

"""Commands on finished result files: scores, tertiles of two runs, attention by layer.

The tables and plots of section 3.3 and appendix C of arXiv 2501.02584. Main thread only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options.flags import fail_for

if TYPE_CHECKING:
    from rich.table import Table

_ANSWERS = Annotated[Path, typer.Argument(metavar="ANSWERS", help="A result file of pheye evaluate.")]
_PLOT = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw it as .png, .svg or .pdf; needs matplotlib.")
]


def scores(answers: _ANSWERS) -> None:
    """Judge the answers of a file again."""
    from rich.console import Console

    from model.evaluation.record import read_answers
    from model.evaluation.scoring import table
    from service.evaluation.run import print_scores

    try:
        judged = table(read_answers(answers))
    except (ValueError, OSError) as error:
        fail_for(error)
    print_scores(judged, Console())


def tertiles(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A result file, of the lower resolution.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="A result file of the same cases.")],
    plot: _PLOT = None,
) -> None:
    """Show how scores change between two runs, by how large what is asked about is in the image."""
    from rich.console import Console

    from model.evaluation.plots import check_plot, plot_changes
    from model.evaluation.record import read_answers
    from model.evaluation.tertiles import changes

    try:
        if plot is not None:
            check_plot(plot)
        runs = read_answers(before), read_answers(after)
        found = changes(*runs)
        if plot is not None:
            plot_changes(found, (before.stem, after.stem), plot)
    except (ValueError, OSError) as error:
        fail_for(error)
    table = _numbers(("metric", "tertile"), ("cases", "before", "after", "change"))
    for each in found:
        change = "" if each.relative is None else f"{each.relative:+.2f} %"
        table.add_row(each.metric, each.tertile, f"{each.cases:,}", f"{each.before:.2f}", f"{each.after:.2f}", change)
    Console().print(table)


def attention(answers: _ANSWERS, plot: _PLOT = None) -> None:
    """Show the share of attention on the global view and on the local tiles, by layer and tertile."""
    from rich.console import Console

    from model.evaluation.attention import shares_by_layer
    from model.evaluation.plots import check_plot, plot_shares
    from model.evaluation.record import read_answers

    try:
        if plot is not None:
            check_plot(plot)
        given = read_answers(answers)
        means = shares_by_layer(given)
        if plot is not None:
            plot_shares(means, given[0].setup.model, plot)
    except (ValueError, OSError) as error:
        fail_for(error)
    table = _numbers(("tertile",), ("layer", "answers", "global view", "local tiles"))
    for each in means:
        shares = (f"{100 * share:.1f} %" for share in (each.global_share, each.local_share))
        table.add_row(each.tertile, str(each.layer), f"{each.answers:,}", *shares)
    Console().print(table)


def _numbers(words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(*words)
    for name in numbers:
        table.add_column(name, justify="right")
    return table

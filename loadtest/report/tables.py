"""Results as tables for people: medians over the repeats, and from lowest to highest where it matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from loadtest.report.results import Ratio, RepeatSpread, ResultRow, figures_of
from loadtest.summary import CPU
from loadtest.sweep import Load, LoadMeasurement

WIDTH = 180  # of a file or a pipe, which has none of its own
_FIGURES = {  # a column of which nothing is known is left out
    "tokens/s": "tokens_per_s",
    "s/answer": "s_per_answer",
    "engine s": "engine_s_per_answer",
    **{f"{name} cpu s": f"{name}_cpu_s_per_answer" for name in CPU},
    "p50 s": "latency_p50_s",
    "p90 s": "latency_p90_s",
    "p99 s": "latency_p99_s",
    "1st text s": "first_token_p50_s",
    "s/token": "per_token_p50_s",
    "late s": "late_p99_s",
    "cached": "cached",
}
_RATIOS = {"answers/s": "answers_per_s", "s/answer": "s_per_answer", "p50": "latency_p50_s", "p90": "latency_p90_s"}


def console(*, aside: bool = False) -> Console:
    """Return standard output, wide enough for the tables; standard error if they must stand aside."""
    out = Console(highlight=False, stderr=aside)
    return out if out.is_terminal else Console(highlight=False, width=WIDTH, stderr=aside)


def print_rows(rows: Sequence[ResultRow], out: Console) -> None:
    """Print a line for each server and load."""
    known = {words: name for words, name in _FIGURES.items() if any(row.figures[name] for row in rows)}
    table = _table("Loads: medians over the repeats", "server", "load", "answers/s", *known, "refused", "lost")
    for row in rows:
        figures = [_median(row.figures[name]) for name in known.values()]
        throughput = _range(row.figures["answers_per_s"])
        table.add_row(row.server, load_words(row.load), throughput, *figures, str(row.refused), str(row.lost))
    out.print(table)


def print_ratios(ratios: Iterable[Ratio], out: Console) -> None:
    """Print a line for each pair of servers and load, if there are any."""
    table = _table("Ratios: the first over the other, in the same repeat", "servers", "load", *_RATIOS)
    for ratio in ratios:
        figures = [_range(ratio.figures[name]) for name in _RATIOS.values()]
        table.add_row(f"{ratio.server} / {ratio.other}", load_words(ratio.load), *figures)
    if table.row_count:
        out.print(table)


def point_words(point: LoadMeasurement) -> str:
    """Describe one load on one server in a line."""
    figures, lost = figures_of(point), point.summary.lost
    p50_s, failure = figures["latency_p50_s"], f"; {lost} lost: {dict(point.summary.failed)}" if lost else ""
    middle = "nothing answered" if p50_s is None else f"p50 {_shown(p50_s)} s"
    throughput = _shown(point.summary.answers_per_s)
    return f"{point.server}, {load_words(point.load)}: {throughput} answers/s, {middle}{failure}"


def load_words(load: Load) -> str:
    """Describe what sets a load apart from the others of a run."""
    hits = f", {load.mix.hits:.0%} hits" if load.mix.hits else ""
    return f"{_shown(load.loop.pressure)} {load.loop.unit}{hits}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right")
    return table


def _median(spread: RepeatSpread | None) -> str:
    return "-" if spread is None else _shown(spread.median)


def _range(spread: RepeatSpread | None) -> str:
    if spread is None or spread.low == spread.high:
        return _median(spread)
    return f"{_shown(spread.median)} ({_shown(spread.low)} to {_shown(spread.high)})"


def _shown(number: float) -> str:
    """Format a number with three significant digits."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"

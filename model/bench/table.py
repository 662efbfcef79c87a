"""Results of a run as a table of text: the same cells for the terminal and for Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from model.bench.machine import Machine
from model.bench.result import BenchReport, BenchResult, CachedImage, Verdict
from model.bench.roofline.ceilings import Ceilings
from model.bench.timing import Spread

HEAD = (
    *("model", "format", "work", "baseline", "fast path", "ratio", "target"),
    *("tokens/s", "of ceiling", "agreement", "memory"),
)
NOTE = (
    "Medians; the ratio with its quartiles. The baseline is the naive twin (in float32 against int8), but for "
    "questions, where it is the fast path asked one after another. The ceiling is the time that bytes at the measured "
    "bandwidth or FLOPs at the measured rate would take. Agreement is the share of equal tokens, for encode the least "
    "cosine between features. Memory is the most held, with both sides loaded."
)


def rows(results: Sequence[BenchResult], verdicts: Sequence[Verdict]) -> Iterator[tuple[str, ...]]:
    """Return the cells of each result, as `HEAD` names them."""
    judged = {verdict.result: verdict for verdict in verdicts}
    for result in results:
        verdict = judged.get(result)
        yield (
            result.model,
            result.dtype,
            result.label,
            duration(result.race.baseline_s.median),
            duration(result.race.fast_s.median),
            ratio(result.race.ratio),
            "" if verdict is None else wanted(verdict),
            f"{result.tokens_per_s:,.1f}" if result.tokens else "",
            f"{100 * result.share_of_ceiling:.0f} % ({result.floor.bound})",
            f"{result.agreement:.4f}" + (" WRONG" if result.wrong else ""),
            f"{result.peak_bytes / 1e9:.2f} GB",
        )


def duration(seconds: float) -> str:
    """Format seconds with three significant digits in a unit that suits them.

    >>> duration(12.3456), duration(0.0123456), duration(0.000123456)
    ('12.3 s', '12.3 ms', '123 us')
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def ratio(spread: Spread) -> str:
    """Format median and quartiles of a ratio.

    >>> ratio(Spread(4.51, 4.4, 4.62))
    '4.5x (4.4-4.6)'
    """
    return f"{spread.median:.1f}x ({spread.low:.1f}-{spread.high:.1f})"


def wanted(verdict: Verdict) -> str:
    """Format a target and whether it is met."""
    target = verdict.target
    parts = [f"{target.ratio:g}x"] if target.ratio is not None else []
    parts += [f"{100 * target.share:.0f} %"] if target.share is not None else []
    return f">= {' and '.join(parts)}: {'met' if verdict.met else 'missed'}"


def markdown(report: BenchReport, more: Sequence[str] = ()) -> str:
    """Format the whole report as a Markdown file; `more` are lines about what else was measured."""
    lines = [
        "# pheye dev bench",
        "",
        machine(report.machine),
        f"Commit {report.commit}.",
        "",
        *_table(HEAD, rows(report.results, report.verdicts)),
        "",
        NOTE,
        "",
        *(f"- {note}" for note in [*notes(report), *more]),
    ]
    return "\n".join(lines) + "\n"


def notes(report: BenchReport) -> list[str]:
    """Return lines about cached images and ceilings, which are not in the table."""
    return [*map(cached, report.cached), *map(rates, report.ceilings)]


def machine(this: Machine) -> str:
    """Describe the machine in one line."""
    where = f"{this.accelerator}, " if this.accelerator else ""
    flags = f" ({', '.join(this.flags)})" if this.flags else ""
    memory = f"{this.memory_bytes / 1e9:.0f} GB"
    return f"{where}{this.cpu}{flags}, {this.cores} cores, {this.threads} threads, {memory}, torch {this.torch}."


def rates(ceilings: Ceilings) -> str:
    """Describe the machine's peak rates in one line."""
    reading, products = ceilings.bytes_per_s / 1e9, ceilings.flops_per_s / 1e9
    return f"{ceilings.model} {ceilings.dtype}: reads {reading:,.1f} GB/s, multiplies {products:,.0f} GFLOP/s"


def cached(image: CachedImage) -> str:
    """Describe the size of a cached image in one line."""
    verdict = "met" if image.cached_bytes == image.formula_bytes else "missed"
    taken, formula = f"{image.cached_bytes:,}", f"{image.formula_bytes:,}"
    return f"{image.model} {image.dtype}: a cached image takes {taken} bytes, its features {formula}: {verdict}"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    for line in (head, ["---"] * len(head), *body):
        yield "| " + " | ".join(line) + " |"

"""Reports of `pheye dev bench`: tables on the terminal; JSON, Markdown and a plot in a folder.

Owns the files' names and the terminal's look; `model/bench/` owns the cells, the words and the bars. Main thread only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from model.bench.timing import Spread
from model.whole_files import write_whole
from service.bench.agreement import Agreement
from service.bench.decoding import DecodingSpeed
from service.bench.engine import EngineThroughput
from service.bench.features import FeatureTimes
from service.bench.slot_advice import ANSWER_TOKENS
from service.bench.slots import SlotSpeeds

if TYPE_CHECKING:
    from model.bench.result import BenchReport

Other = EngineThroughput | Agreement | DecodingSpeed | FeatureTimes | SlotSpeeds  # what a line tells, not a table

JSON_FILE, MARKDOWN_FILE, PLOT_FILE = "bench.json", "bench.md", "bench.png"
WIDTH = 150  # where no terminal says how wide it is


@dataclass(frozen=True, slots=True)
class Findings:
    """All results of one run of the command; `others` is what a line tells, not a table."""

    report: BenchReport
    others: Sequence[Other]

    @property
    def wrong(self) -> list[str]:
        """The results whose two sides should have been the same and were not."""
        return [f"{each.model} {each.dtype}: {each.label}" for each in self.report.results if each.wrong]


def line(other: Other) -> str:
    """Describe in a line what was measured beside the tables."""
    if isinstance(other, DecodingSpeed):
        return _decoding_line(other)
    if isinstance(other, FeatureTimes):
        return _features_line(other)
    if isinstance(other, SlotSpeeds):
        return _slots_line(other)
    return _agreement_line(other) if isinstance(other, Agreement) else _engine_line(other)


def _agreement_line(found: Agreement) -> str:
    verdict = "met" if found.met else "missed"
    return (
        f"{found.model}: {found.dtype} gives float32's answer to {100 * found.share:.1f} % of {found.questions:,} of "
        f"easy-VQA's test questions ({found.float32_score:.1f} % right in float32, {found.score:.1f} % in "
        f"{found.dtype}), >= {100 * found.least_share:.0f} %: {verdict}"
    )


def _engine_line(engine: EngineThroughput) -> str:
    encode, prefill, decode = (
        f"{1e3 * seconds / engine.requests:.1f} ms" for seconds in (engine.encode_s, engine.prefill_s, engine.decode_s)
    )
    return (
        f"{engine.model} on {engine.device} in {engine.dtype}, engine without HTTP: {engine.answers_per_s:.2f} "
        f"answers/s, {engine.tokens_per_s:.1f} tokens/s ({engine.requests} requests, {engine.in_flight} in flight, "
        f"{engine.slots} slots, at most {engine.max_tokens} tokens); of an answer's time {encode} "
        f"encoding, {prefill} reading image and prompt, {decode} decoding"
    )


def _decoding_line(found: DecodingSpeed) -> str:
    full, less, ratio = found.race.baseline_s, found.race.fast_s, found.race.ratio
    return (
        f"JPEG of {found.megapixels:.0f} megapixels to the tiles of {found.model} (largest view "
        f"{found.largest_view_px} px): {1000 * full.median:.0f} ms decoded at full size, {1000 * less.median:.0f} ms "
        f"at a reduced one, {ratio.median:.1f}x ({ratio.low:.1f} to {ratio.high:.1f}); tiles differ by "
        f"{found.mean_difference:.2f} of 255 in the mean, {found.max_difference} at most"
    )


def _features_line(found: FeatureTimes) -> str:
    return (
        f"{found.model} on {found.device} in {found.dtype}, one token about an image of {found.image_bytes / 1e6:.2f} "
        f"MB of features: {1000 * found.memory_s:.0f} ms from the cache, {1000 * found.folder_s:.0f} ms from the "
        f"folder ({1000 * found.read_s:.1f} ms of it reading, for which other rows wait), "
        f"{1000 * found.encoded_s:.0f} ms encoded (medians of {found.images}); loaded in {found.load_s:.1f} s"
    )


def _slots_line(found: SlotSpeeds) -> str:
    rows = "; ".join(_row_words(found, rows) for rows in found.times.steps_s)
    advice, threads = found.advice, "1 thread" if found.threads == 1 else f"{found.threads} threads"
    return (
        f"{found.model} on {found.device} in {found.dtype}, {threads}, steps of rows about images of their own: "
        f"{rows}. Answers are of {ANSWER_TOKENS} tokens about known images; to encode a new one takes "
        f"{1000 * found.encode_s:.0f} ms more. A slot takes {found.slot_bytes / 1e6:,.0f} MB. "
        f"Set PHEYE_SLOTS={advice.slots}: {advice.reason}"
    )


def _row_words(found: SlotSpeeds, rows: int) -> str:
    times = found.times
    step = Spread.of(times.steps_s[rows])
    return (
        f"{rows} {'row' if rows == 1 else 'rows'} {1000 * step.median:.1f} ms ({1000 * step.low:.1f} to "
        f"{1000 * step.high:.1f}), {rows / step.median:.1f} tokens/s, {median(times.answers_per_s(rows)):.2f} answers/s"
    )


def print_findings(findings: Findings) -> None:
    """Print a table for each model and number format, and lines for what is no table."""
    from model.bench import table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    report = findings.report
    console.print(table.machine(report.machine), markup=False, soft_wrap=True)
    for title, lines in groupby(table.rows(report.results, report.verdicts), lambda cells: " ".join(cells[:2])):
        shown = Table(*table.HEAD[2:], title=title, title_justify="left")
        for cells in lines:
            shown.add_row(*cells[2:])
        console.print(shown)
    notes = [*table.notes(report), *map(line, findings.others)]
    for note in [table.NOTE] * bool(report.results) + notes:
        console.print(note, markup=False, soft_wrap=True)


def write_findings(findings: Findings, folder: Path) -> None:
    """Write everything but the plot; what an unfinished run had written before is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    from model.bench.table import markdown

    engines = [
        asdict(each) | {"answers_per_s": each.answers_per_s, "tokens_per_s": each.tokens_per_s}
        for each in findings.others
        if isinstance(each, EngineThroughput)
    ]
    agreements = [each.as_json() for each in findings.others if isinstance(each, Agreement)]
    decodings = [asdict(each) for each in findings.others if isinstance(each, DecodingSpeed)]
    features = [asdict(each) for each in findings.others if isinstance(each, FeatureTimes)]
    slots = [each.as_json() for each in findings.others if isinstance(each, SlotSpeeds)]
    folder.mkdir(parents=True, exist_ok=True)
    others = {
        "engines": engines, "agreements": agreements, "decodings": decodings, "features": features, "slots": slots,
    }  # fmt: skip
    told = findings.report.as_json(others)
    write_whole(folder / JSON_FILE, json.dumps(told, indent=2) + "\n")
    text = markdown(findings.report, [line(each) for each in findings.others])
    write_whole(folder / MARKDOWN_FILE, text)


def draw_findings(findings: Findings, folder: Path) -> None:
    """Draw the plot, if there is something to draw and something to draw with.

    Raises:
        OSError: the folder cannot be written.
    """
    if findings.report.results and can_draw():
        from model.bench.plots import plot_report

        plot_report(findings.report, folder / PLOT_FILE)


def can_draw() -> bool:
    """Say whether matplotlib is there; a machine that measures may do without."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None

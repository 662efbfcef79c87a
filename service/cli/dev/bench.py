"""`pheye dev bench`: the options of the benchmarks of the fast path, and the course of a run.

Owns the words; `model/bench/` measures, `bench_others.py` has what is around the model's passes measured,
`service/bench/report.py` tells. All of them are imported only when the command runs. Main thread only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from service.cli.dev.bench_others import AGREEMENT, DECODING, ENGINE, FEATURES, SLOTS, other_measurements
from service.cli.options.dataclass_options import options
from service.cli.options.flags import fail, fail_for, tell
from service.cli.options.shared_options import THREADS

if TYPE_CHECKING:
    from model.bench.plan import PlanOverrides, Section
    from model.bench.run import BenchSession, Finding
    from service.bench.report import Findings
    from service.cli.dev.bench_others import Made, Other

_MEMORY_SPARE = 1.1  # times the estimate, for what is neither weights nor slots
EXIT_WRONG, EXIT_INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """The options of `pheye dev bench`; the field order is the order of its help."""

    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="random:NAME, a folder or a hub id, several times; default: the targets'."),
    ] = None
    dtype: Annotated[
        str | None, typer.Option(metavar="LIST", help="float32, bfloat16, int8, int4, with commas between.")
    ] = None
    rows: Annotated[
        str | None, typer.Option(metavar="LIST", help="Rows of a batch in prefill, decode and slots, like 1,4,8.")
    ] = None
    images: Annotated[
        str | None, typer.Option(metavar="LIST", help="Images of a batch in encode and caption, like 1,32.")
    ] = None
    shared_image: Annotated[bool, typer.Option("--shared-image", help="Rows of a batch look at one image.")] = False
    prompt_tokens: Annotated[int | None, typer.Option(min=8, help="Of the longest prompt; default 65.")] = None
    repeats: Annotated[int | None, typer.Option(min=1, help="Turns of each side; default 5, on GPUs 3.")] = None
    only: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="encode, prefill, decode, caption, second, questions, memory, decoding, engine, features, slots, "
            "agreement; default all but features and slots.",
        ),
    ] = None
    peers: Annotated[
        bool, typer.Option("--peers", help="Beside llama.cpp and OpenVINO instead; needs the extra peers.")
    ] = False
    quick: Annotated[bool, typer.Option("--quick", help="Less, in under five minutes on two cores.")] = False
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to compute.")] = "cpu"
    threads: THREADS = 0
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write bench.json, bench.md and bench.png there, or peers.json and peers.md."
        ),
    ] = None


@options(BenchOptions)
def bench(**typed: Any) -> None:
    """Time the fast path beside the naive model and the machine's own limits."""
    words = BenchOptions(**typed)
    overrides = _overrides(words)
    try:
        code = _compared(words, overrides) if words.peers else _measured(words, overrides)
    except (ValueError, OSError) as error:
        fail_for(error)
    raise typer.Exit(code)


def _overrides(words: BenchOptions) -> PlanOverrides:
    """Read what changes the plan."""
    from model.bench.plan import DTYPES, WORKLOADS, PlanOverrides

    return PlanOverrides(
        only=_names("--only", words.only, (*WORKLOADS, DECODING, ENGINE, FEATURES, SLOTS, AGREEMENT)),
        dtypes=_names("--dtype", words.dtype, DTYPES),
        rows=_numbers("--rows", words.rows),
        images=_numbers("--images", words.images),
        repeats=words.repeats,
        prompt_tokens=words.prompt_tokens,
        shared_image=words.shared_image,
    )


def _measured(words: BenchOptions, overrides: PlanOverrides) -> int:
    """Measure what is planned and what is around it; return the exit code."""
    from model.bench.plan import plan

    models, device, threads, quick = words.model or (), words.device, words.threads, words.quick
    sections = [overrides.applied_to(section) for section in plan(device, models, quick=quick)]
    if words.report is not None:
        _prepare(words.report)
    others = list(other_measurements(overrides, models, device, threads, quick=quick))
    return _carry_out([section for section in sections if section.work], others, device, threads, words.report)


def _compared(words: BenchOptions, overrides: PlanOverrides) -> int:
    """Compare with other libraries in place of the naive model; return the exit code."""
    from service.cli.dev.peers import compare_with_peers

    others = {
        "--quick": words.quick,
        "--images": bool(words.images),
        "--shared-image": words.shared_image,
        "--device": words.device != "cpu",
    }
    return compare_with_peers(words.model or (), overrides, words.threads, words.report, others)


def _names(flag: str, typed: str | None, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(part.strip() for part in typed.split(",")) if typed is not None else ()
    for name in names:
        if name not in known:
            fail(f"{flag}: {name!r} is not one of {', '.join(known)}")
    return names


def _numbers(flag: str, typed: str | None) -> tuple[int, ...]:
    parts = typed.split(",") if typed is not None else []
    for part in parts:
        if not part.strip().isdecimal() or not 1 <= int(part) <= 512:
            fail(f"{flag}: {part!r} is not a whole number from 1 to 512")
    return tuple(int(part) for part in parts)


def _prepare(folder: Path) -> None:
    """Check that the report can be written, before an hour of work."""
    from service.bench.report import can_draw

    folder.mkdir(parents=True, exist_ok=True)
    if not can_draw():
        tell("the report will have no plot: plots need matplotlib: pip install 'pheye-service[train]'")


def _carry_out(
    sections: Sequence[Section], others: Sequence[Other], device: str, threads: int, folder: Path | None
) -> int:
    """Measure, print and write; return the exit code. A run that is interrupted tells what it has found."""
    from model.bench.run import check, needed_bytes, open_session, report
    from service.bench.report import Findings, draw_findings, print_findings, write_findings

    session = open_session(device, threads, tell)
    check(sections, session.device)
    if device == "cpu":
        _tell_of_memory(needed_bytes(sections))
    findings, code = Findings(report(sections, [], session.device), []), EXIT_INTERRUPTED
    try:
        for findings in _measure(sections, others, session):
            if folder is not None:
                write_findings(findings, folder)  # at once: an hour's run may be killed
        code = EXIT_WRONG if findings.wrong else 0
    except KeyboardInterrupt:
        tell("interrupted; this is what there is so far")
    print_findings(findings)
    if folder is not None:
        draw_findings(findings, folder)
        tell(f"written to {folder}")
    for line in findings.wrong:
        tell(f"{line}: the two sides have not made the same")
    return code


def _tell_of_memory(needed: int) -> None:
    """Say before an hour of work that there may be too little memory for it, in which case the system ends it."""
    from model.machine.free_memory import MB, available_mb

    free_mb = available_mb()
    if free_mb is not None and free_mb * MB < _MEMORY_SPARE * needed:
        sizes = f"{needed / 1e9:.1f} GB of memory, and {free_mb / 1e3:.1f} GB are free"
        tell(f"both sides take about {sizes}: the system may end this; --only encode or decode takes less")


def _measure(sections: Sequence[Section], others: Sequence[Other], session: BenchSession) -> Iterator[Findings]:
    """Yield all findings so far, whenever there are more."""
    from model.bench.run import report, run
    from service.bench.report import Findings

    found: list[Finding] = []
    for finding in run(sections, session):
        found.append(finding)
        yield Findings(report(sections, found, session.device), [])
    whole = report(sections, found, session.device)  # now: an engine will choose threads of its own for this process
    made: list[Made] = []
    for measure in others:
        made.append(measure())
        yield Findings(whole, made)

"""`pheye dev bench`: the options of the benchmarks of the fast path, and the course of a run.

Owns the words; `model/bench/` measures, `service/bench/engine.py` the engine, `service/bench/agreement.py` what int8
does to answers, `service/bench/report.py` tells. All of them are imported only when the command runs. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from service.cli.flags import fail, fail_for, read_settings
from service.cli.shared_options import THREADS

if TYPE_CHECKING:
    from model.bench.plan import PlanOverrides, Section
    from model.bench.run import BenchSession, Finding
    from model.evaluation.case import Case
    from service.bench.agreement import Agreement
    from service.bench.decoding import DecodingSpeed
    from service.bench.engine import EngineThroughput
    from service.bench.features import FeatureTimes
    from service.bench.report import Findings
    from service.bench.slots import SlotSpeeds

    Made = EngineThroughput | Agreement | DecodingSpeed | FeatureTimes | SlotSpeeds
    Other = Callable[[], Made]  # measures something that is no section of a plan

ENGINE, AGREEMENT, DECODING, FEATURES, SLOTS = "engine", "agreement", "decoding", "features", "slots"
DECODED_FOR = ("pheye-tiny", "Pheye-x4-448")  # models whose tiles a photograph is decoded for, unless others are named
EMBEDDED_MODEL = "pheye-tiny"  # whose answers should survive int8; random weights have none worth keeping
ROUNDED = ("int8", "int4")  # number formats that may change answers
EXIT_WRONG, EXIT_INTERRUPTED = 1, 130


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="random:NAME, a folder or a hub id, several times; default: the targets'."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="LIST", help="float32, bfloat16, int8, int4, with commas between.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="LIST", help="Rows of a batch in prefill, decode and slots, like 1,4,8.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(metavar="LIST", help="Images of a batch in encode and caption, like 1,32.")
    ] = None,
    shared_image: Annotated[bool, typer.Option("--shared-image", help="Rows of a batch look at one image.")] = False,
    prompt_tokens: Annotated[int | None, typer.Option(min=8, help="Of the longest prompt; default 65.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Turns of each side; default 5, on GPUs 3.")] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="encode, prefill, decode, caption, second, questions, memory, decoding, engine, features, slots, "
            "agreement; default all but features and slots.",
        ),
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Beside llama.cpp and OpenVINO instead; needs the extra peers.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Less, in under five minutes on two cores.")] = False,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to compute.")] = "cpu",
    threads: THREADS = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write bench.json, bench.md and bench.png there, or peers.json and peers.md."
        ),
    ] = None,
) -> None:
    """Time the fast path beside the naive model and the machine's own limits."""
    from model.bench.plan import DTYPES, WORKLOADS, PlanOverrides, plan

    names = _names("--only", only, (*WORKLOADS, DECODING, ENGINE, FEATURES, SLOTS, AGREEMENT))
    overrides = PlanOverrides(
        dtypes=_names("--dtype", dtype, DTYPES),
        rows=_numbers("--rows", rows),
        images=_numbers("--images", images),
        only=names,
        repeats=repeats,
        prompt_tokens=prompt_tokens,
        shared_image=shared_image,
    )
    if peers:
        others = {
            "--quick": quick,
            "--images": bool(images),
            "--shared-image": shared_image,
            "--device": device != "cpu",
        }
        _compare(model or (), overrides, threads, report, others)
    sections = [overrides.applied_to(section) for section in plan(device, model or (), quick=quick)]
    try:
        if report is not None:
            _prepare(report)
        more = list(_others(overrides, model or (), device, threads, quick=quick))
        code = _carry_out([section for section in sections if section.work], more, device, threads, report)
    except (ValueError, OSError) as error:
        fail_for(error)
    raise typer.Exit(code)


def _compare(
    models: Sequence[str], overrides: PlanOverrides, threads: int, folder: Path | None, others: Mapping[str, bool]
) -> NoReturn:
    """Compare with other libraries in place of the naive model."""
    from service.cli.dev.peers import compare_with_peers

    try:
        code = compare_with_peers(models, overrides, threads, folder, others)
    except (ValueError, OSError) as error:
        fail_for(error)
    raise typer.Exit(code)


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
        _tell("the report will have no plot: plots need matplotlib: pip install 'pheye-service[train]'")


def _others(
    overrides: PlanOverrides, models: Sequence[str], device: str, threads: int, *, quick: bool
) -> Iterator[Other]:
    """List the measurements after the sections: those named, or in a run of everything all that the device can do."""
    everything = not (overrides.only or models)
    if everything or DECODING in overrides.only:
        yield from (partial(_decoding, model) for model in models or DECODED_FOR)
    served: Sequence[str | None] = models or [None]
    dtypes: Sequence[str | None] = overrides.dtypes or [None]
    if everything or ENGINE in overrides.only:
        yield from (partial(_engine, model, device, threads) for model in served)
    if FEATURES in overrides.only:
        yield from (
            partial(_features, each, dtype, device, threads) for each in models or [EMBEDDED_MODEL] for dtype in dtypes
        )
    if SLOTS in overrides.only:
        yield from (
            partial(_slots, each, dtype, overrides.rows, device, threads) for each in served for dtype in dtypes
        )
    named = AGREEMENT in overrides.only
    if named and device != "cpu":
        fail(f"--only {AGREEMENT}: int8 and int4 are for CPUs")
    if named or (everything and device == "cpu"):
        asked = overrides.dtypes or ROUNDED
        rounded = [dtype for dtype in ROUNDED if dtype in asked]
        yield from _agreements(models or [EMBEDDED_MODEL], rounded, threads, quick=quick, named=named)


def _agreements(
    models: Sequence[str], dtypes: Sequence[str], threads: int, *, quick: bool, named: bool
) -> Iterator[Other]:
    """Draw the questions of these comparisons now, so that missing data is noticed before an hour of work.

    Raises:
        DataError: the data set is not installed, and nothing can be done without where this was asked for by name.
    """
    from model.data.fields import DataError
    from service.bench import agreement

    if not dtypes:
        return
    try:
        cases = agreement.draw_questions(agreement.QUICK_QUESTIONS if quick else agreement.QUESTIONS)
    except DataError as error:
        if named:
            raise
        _tell(f"what int8 and int4 do to answers will not be measured: {error}")
        return
    for model in models:
        yield from (partial(_agreement, model, dtype, threads, cases) for dtype in dtypes)


def _carry_out(
    sections: Sequence[Section], others: Sequence[Other], device: str, threads: int, folder: Path | None
) -> int:
    """Measure, print and write; return the exit code. A run that is interrupted tells what it has found."""
    from model.bench.run import check, open_session, report
    from service.bench.report import Findings, draw_findings, print_findings, write_findings

    session = open_session(device, threads, _tell)
    check(sections, session.device)
    findings, code = Findings(report(sections, [], session.device), []), EXIT_INTERRUPTED
    try:
        for findings in _measure(sections, others, session):
            if folder is not None:
                write_findings(findings, folder)  # at once: an hour's run may be killed
        code = EXIT_WRONG if findings.wrong else 0
    except KeyboardInterrupt:
        _tell("interrupted; this is what there is so far")
    print_findings(findings)
    if folder is not None:
        draw_findings(findings, folder)
        _tell(f"written to {folder}")
    for line in findings.wrong:
        _tell(f"{line}: the two sides have not made the same")
    return code


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


def _decoding(model: str) -> DecodingSpeed:
    """Measure how long a large photograph takes to become tiles of this model."""
    from service.bench.decoding import decoding_speed
    from service.cli.info.figures import find_config

    _tell(f"{model}: a large photograph decoded and cut")
    return decoding_speed(find_config(model, None))


def _engine(model: str | None, device: str, threads: int) -> EngineThroughput:
    """Measure the engine as `pheye serve` would run it, with this model or the one it would serve."""
    from service.bench.engine import engine_throughput

    _tell(f"{model or 'the served model'}: engine without HTTP")
    return engine_throughput(read_settings({"model": model, "devices": device, "threads": str(threads)}))


def _features(model: str, dtype: str | None, device: str, threads: int) -> FeatureTimes:
    """Measure what an image's features in memory and in a folder save."""
    from service.bench.features import feature_times
    from service.cli.info.figures import find_config

    _tell(f"{model}: features encoded, from the folder, from the cache")
    settings = read_settings({"model": model, "devices": device, "threads": str(threads), "dtype": dtype})
    return feature_times(settings, find_config(model, None))


def _slots(model: str | None, dtype: str | None, rows: Sequence[int], device: str, threads: int) -> SlotSpeeds:
    """Measure how many rows at a time pay, with this model or the one that would be served."""
    from service.bench.slots import ROWS, slot_speeds

    _tell(f"{model or 'the served model'}: decode steps by rows")
    settings = read_settings({"model": model, "devices": device, "threads": str(threads), "dtype": dtype})
    return slot_speeds(settings, rows or ROWS)


def _agreement(model: str, dtype: str, threads: int, cases: Sequence[Case]) -> Agreement:
    """Measure how often the engine answers in int8 or int4 as in float32."""
    from service.bench.agreement import measure_agreement

    _tell(f"{model}: {len(cases):,} questions in float32 and in {dtype}")
    return measure_agreement(read_settings({"model": model, "devices": "cpu", "threads": str(threads)}), cases, dtype)


def _tell(line: str) -> None:
    typer.echo(f"pheye: {line}", err=True)

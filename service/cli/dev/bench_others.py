"""Measurements of `pheye dev bench` beside its plan: engine, slots, feature caches, decoding, agreement of formats.

Owns which of them a run makes; `service/bench/` measures. Imports that only when it is called. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from service.cli.options.flags import fail, read_settings, tell

if TYPE_CHECKING:
    from model.bench.plan import PlanOverrides
    from model.evaluation.case import Case
    from service.bench.agreement import Agreement
    from service.bench.decoding import DecodingSpeed
    from service.bench.engine import EngineThroughput
    from service.bench.features import FeatureTimes
    from service.bench.slots import SlotSpeeds

    Made = EngineThroughput | Agreement | DecodingSpeed | FeatureTimes | SlotSpeeds
    Other = Callable[[], Made]  # measures something that is no section of a plan

ENGINE, AGREEMENT, DECODING, FEATURES, SLOTS = "engine", "agreement", "decoding", "features", "slots"
DECODED_FOR = ("pheye-tiny", "Pheye-x4-448")  # models whose tiles a photograph is decoded for, unless others are named
EMBEDDED_MODEL = "pheye-tiny"  # whose answers should survive int8; random weights have none worth keeping
ROUNDED = ("int8", "int4")  # number formats that may change answers


def other_measurements(
    overrides: PlanOverrides, models: Sequence[str], device: str, threads: int, *, quick: bool
) -> Iterator[Other]:
    """List the measurements after the sections: those named, or in a run of everything all that the device can do."""
    everything = not (overrides.only or models)
    if everything or DECODING in overrides.only:
        yield from (partial(_decoding, model) for model in models or DECODED_FOR)
    served: Sequence[str | None] = models or [None]
    dtypes: Sequence[str | None] = overrides.dtypes or [None]
    if everything or ENGINE in overrides.only:
        yield from (partial(_engine, model, dtype, device, threads) for model in served for dtype in dtypes)
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
        tell(f"what int8 and int4 do to answers will not be measured: {error}")
        return
    for model in models:
        yield from (partial(_agreement, model, dtype, threads, cases) for dtype in dtypes)


def _decoding(model: str) -> DecodingSpeed:
    """Measure how long a large photograph takes to become tiles of this model."""
    from service.bench.decoding import decoding_speed
    from service.cli.info.figures import find_config

    tell(f"{model}: a large photograph decoded and cut")
    return decoding_speed(find_config(model, None))


def _engine(model: str | None, dtype: str | None, device: str, threads: int) -> EngineThroughput:
    """Measure the engine as `pheye serve` would run it, with this model or the one it would serve."""
    from service.bench.engine import engine_throughput

    tell(f"{model or 'the served model'}: engine without HTTP")
    return engine_throughput(
        read_settings({"model": model, "dtype": dtype, "devices": device, "threads": str(threads)})
    )


def _features(model: str, dtype: str | None, device: str, threads: int) -> FeatureTimes:
    """Measure what an image's features in memory and in a folder save."""
    from service.bench.features import feature_times
    from service.cli.info.figures import find_config

    tell(f"{model}: features encoded, from the folder, from the cache")
    settings = read_settings({"model": model, "devices": device, "threads": str(threads), "dtype": dtype})
    return feature_times(settings, find_config(model, None))


def _slots(model: str | None, dtype: str | None, rows: Sequence[int], device: str, threads: int) -> SlotSpeeds:
    """Measure how many rows at a time pay, with this model or the one that would be served."""
    from service.bench.slots import ROWS, slot_speeds

    tell(f"{model or 'the served model'}: decode steps by rows")
    settings = read_settings({"model": model, "devices": device, "threads": str(threads), "dtype": dtype})
    return slot_speeds(settings, rows or ROWS)


def _agreement(model: str, dtype: str, threads: int, cases: Sequence[Case]) -> Agreement:
    """Measure how often the engine answers in int8 or int4 as in float32."""
    from service.bench.agreement import measure_agreement

    tell(f"{model}: {len(cases):,} questions in float32 and in {dtype}")
    return measure_agreement(read_settings({"model": model, "devices": "cpu", "threads": str(threads)}), cases, dtype)

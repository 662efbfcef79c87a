"""Speed targets of the fast path, and the verdict of a run on each.

The CPU's numbers are ratios to the naive twin on two cores without bfloat16 instructions; int8 is held against the twin
in float32. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from model.bench.result import BenchResult, SpeedTarget, Verdict

_X2, _X4 = "Pheye-x2-672", "Pheye-x4-448"
_PUBLISHED = (_X4, "Pheye-x4-672", "Pheye-x2-448", _X2)
_CPU_RATIOS = (  # model, workload, rows, images, float32, int8
    (_X2, "decode", 1, 1, 4.5, 9.0),
    (_X2, "decode", 8, 8, 12.0, 25.0),
    (_X4, "decode", 1, 1, 2.1, 5.0),
    (_X4, "decode", 4, 4, 4.0, 10.0),
    (_X4, "encode", 1, 1, 1.1, 2.4),
    (_X4, "prefill", 1, 1, 1.1, 3.0),
    (_X4, "prefill", 4, 4, 1.5, 3.0),
    (_X4, "caption", 1, 1, 1.5, 3.5),
    (_X4, "second", 1, 1, 4.0, 11.0),
    (_X4, "questions", 4, 1, 2.0, 2.0),
)
_CPU_ENCODE_SHARE = 0.85  # of the measured matrix rate, in float32
_GPU_ROWS = (1, 2, 4, 8, 16, 32, 64)
_GPU_SHARE = 0.6
_GPU_CAPTION_ROWS, _GPU_CAPTION_RATIO = 32, 20.0


def _targets() -> Iterator[SpeedTarget]:
    for model, workload, rows, images, exact, int8 in _CPU_RATIOS:
        share = _CPU_ENCODE_SHARE if workload == "encode" else None
        yield SpeedTarget("cpu", model, workload, "float32", rows, images, ratio=exact, share=share)
        yield SpeedTarget("cpu", model, workload, "int8", rows, images, ratio=int8)
    for model in _PUBLISHED:
        yield SpeedTarget("cuda", model, "encode", "bfloat16", 1, 1, share=_GPU_SHARE)
        for rows in _GPU_ROWS:
            yield SpeedTarget("cuda", model, "decode", "bfloat16", rows, rows, share=_GPU_SHARE)
        captions = _GPU_CAPTION_ROWS
        yield SpeedTarget("cuda", model, "caption", "bfloat16", captions, captions, ratio=_GPU_CAPTION_RATIO)


TARGETS = tuple(_targets())


def judge(device: str, results: Sequence[BenchResult], targets: Sequence[SpeedTarget] = TARGETS) -> tuple[Verdict, ...]:
    """Compare the results of a run on a device (`cpu` or `cuda`) with the targets there are for them.

    A result whose two sides disagree in float32 meets nothing, however quick it was.
    """
    wanted = {_key(target): target for target in targets if target.device == device}
    pairs = ((wanted[_key(result)], result) for result in results if _key(result) in wanted)
    return tuple(Verdict(target, result, _met(target, result)) for target, result in pairs)


def _key(about: SpeedTarget | BenchResult) -> tuple[str, str, str, int, int]:
    return about.model, about.workload, about.dtype, about.rows, about.images


def _met(target: SpeedTarget, result: BenchResult) -> bool:
    quick = target.ratio is None or result.race.ratio.median >= target.ratio
    close = target.share is None or result.share_of_ceiling >= target.share
    return quick and close and not result.wrong

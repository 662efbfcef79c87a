"""Memory that runs out in the middle of a step: what is freed, what is tried again, and what is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.network.pheye import Pheye
from model.request import DeviceMemoryError, NewRow, Sampling, TileSpan
from model.runtime import load
from model.runtime.device_memory import with_room
from model.runtime.load import load_runner
from model.runtime.memory_plan import GIB, MemoryDemand, MemoryPlanError
from model.runtime.runner import ModelRunner
from tests.support.golden import fp32_runner, noise_image
from tests.support.out_of_memory import run_out_of_memory


def started(runner: ModelRunner, checkpoint: Checkpoint) -> NewRow:
    """A runner with one image encoded."""
    image = noise_image(checkpoint)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, runner.config.tiles)])
    return NewRow(0, image.image_key, runner.prompt("What?"), (), Sampling(temperature=1.0, top_p=0.9, seed=3))


def tokens(runner: ModelRunner, checkpoint: Checkpoint, count: int = 6) -> list[int | None]:
    out = runner.prefill([started(runner, checkpoint)])
    while len(out) < count:
        out += runner.decode([0])
    return out


def test_work_that_finds_room_the_second_time_is_done_once() -> None:
    happened: list[str] = []

    def work() -> str:
        happened.append("tried")
        if happened == ["tried"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    assert with_room(work, lambda: happened.append("made room")) == "done"
    assert happened == ["tried", "made room", "tried"]


def test_no_room_the_second_time_either_is_said_without_what_held_the_memory() -> None:
    def work() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    made: list[None] = []
    with pytest.raises(DeviceMemoryError, match=r"^CUDA out of memory\. Tried to allocate 2 GiB\.$") as caught:
        with_room(work, lambda: made.append(None))
    assert len(made) == 2
    assert caught.value.__context__ is None  # a traceback would keep the tensors of the failed attempt


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("CUDA error")], ids=["value", "fault"])
def test_other_errors_are_not_tried_again(error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        with_room(work, lambda: pytest.fail("made room"))


@pytest.mark.parametrize(
    ("operation", "late"),
    [  # once a decode step is complete, nothing is left in it that could fail
        *((operation, False) for operation in ("encode_tiles", "admit_image", "prefill", "decode")),
        *((operation, True) for operation in ("encode_tiles", "admit_image", "prefill")),
    ],
    ids=lambda value: value if isinstance(value, str) else "after the work" if value else "before the work",
)
def test_a_step_that_ran_out_of_memory_once_gives_the_same_tokens(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, operation: str, late: bool
) -> None:
    expected = tokens(fp32_runner(tiny), tiny)
    runner = fp32_runner(tiny)
    run_out_of_memory(monkeypatch, operation, times=1, late=late)
    assert tokens(runner, tiny) == expected


def test_the_choice_of_a_token_is_tried_again_without_another_decode_step(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tokens(fp32_runner(tiny), tiny)
    from model.runtime import token_decoder as module

    left, choose = [1], module.choose

    def once(*args: Any) -> Any:
        if left:
            left.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return choose(*args)

    monkeypatch.setattr(module, "choose", once)
    assert tokens(fp32_runner(tiny), tiny) == expected


def test_making_room_empties_the_feature_cache_and_tells_of_it(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = fp32_runner(tiny)
    row = started(runner, tiny)
    runner.close_image(row.image_key)
    runner.open_image(noise_image(tiny, 1))
    assert runner.cache_bytes > 0
    run_out_of_memory(monkeypatch, "encode_tiles", times=1)
    runner.encode([TileSpan(noise_image(tiny, 1).image_key, 0, 1)])
    assert runner.cache_bytes == 0
    assert runner.take_cache_changes().dropped == (row.image_key,)


@pytest.mark.parametrize("operation", ["admit_image", "prefill"])
def test_rows_that_could_not_be_prefilled_leave_nothing_behind(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    expected = tokens(fp32_runner(tiny), tiny)
    runner = fp32_runner(tiny)
    row = started(runner, tiny)
    with monkeypatch.context() as patch:
        run_out_of_memory(patch, operation, times=2, late=True)
        with pytest.raises(DeviceMemoryError):
            runner.prefill([row])
    assert runner._slots.lengths == [0] * 8
    assert not runner._slots.has_image(row.image_key)
    runner.close_image(row.image_key)
    assert tokens(runner, tiny) == expected


def test_a_plan_that_does_not_hold_is_refused_by_the_setting_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pheye, "new_slots", _no_memory)
    with pytest.raises(MemoryPlanError, match=r"^gpu_memory_share: memory ran out while loading; .*CUDA out of memory"):
        load_runner("random:pheye-micro", threads=1)


def test_a_card_decides_how_many_slots_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "memory_budget", lambda device, share: int(share * 2 * GIB))
    runner = load_runner("random:pheye-micro", threads=1, demand=MemoryDemand(1024), gpu_memory_share=0.75)
    assert runner.slots == 64
    assert sum(part.size_bytes for part in runner.memory) == 3 * GIB // 2
    assert runner.feature_cache_bytes == runner.memory[-2].size_bytes


def _no_memory(*_: Any) -> Callable[..., Any]:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


def test_a_fixed_step_that_ran_out_of_memory_is_not_repeated_since_it_may_have_changed_its_state(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, steps = fp32_runner(tiny, steps="fixed"), []
    runner.prefill([started(runner, tiny)])

    def full(*_: Any) -> None:
        steps.append(None)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Pheye, "step", full)
    with pytest.raises(DeviceMemoryError, match="CUDA out of memory"):
        runner.decode([0])
    assert len(steps) == 1

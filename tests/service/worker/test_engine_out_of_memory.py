"""The engine on a device whose memory runs out: one retry is not noticed, and then the requests of one step fail."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.pixels.tiles import TiledImage
from model.request import Sampling
from model.runtime.features import open_images
from model.runtime.features.feature_folder import FeatureFolder
from model.runtime.features.open_images import OpenImages
from service.messages.from_worker import Broken, Finished, RowEvent
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from tests.support.golden import fp32_runner, noise_image
from tests.support.out_of_memory import run_out_of_memory

OPERATIONS = ["encode_tiles", "admit_image", "prefill", "decode"]


def submit(engine: Engine, image: TiledImage, *names: str, max_tokens: int = 4) -> None:
    engine.submit(Submit(image, tuple(Row(name, "What is it?", Sampling(max_tokens=max_tokens)) for name in names)))


def run(engine: Engine) -> dict[str, RowEvent]:
    """Run all rows and return how each ended."""
    ended: dict[str, RowEvent] = {}
    while engine.busy:
        for event in engine.step().events:
            if isinstance(event, Finished | Broken):
                assert event.id not in ended
                ended[event.id] = event
    return ended


@pytest.mark.parametrize("operation", OPERATIONS)
def test_memory_that_suffices_the_second_time_fails_nobody(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    engine = Engine(fp32_runner(tiny), stall_s=0.25)
    submit(engine, noise_image(tiny), "a", "b")
    run_out_of_memory(monkeypatch, operation, times=1)
    assert {name: type(event) for name, event in run(engine).items()} == {"a": Finished, "b": Finished}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_memory_that_never_suffices_fails_the_requests_of_the_step_and_the_next_ones_are_well(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, operation: str
) -> None:
    runner = fp32_runner(tiny)
    engine = Engine(runner, stall_s=0.25)
    submit(engine, noise_image(tiny), "a", "b")
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "pheye.engine"):
        run_out_of_memory(patch, operation, times=2)
        broken = Broken("a", "the device ran out of memory"), Broken("b", "the device ran out of memory")
        assert tuple(run(engine).values()) == broken
    assert "out of memory; 2 requests fail: CUDA out of memory. Tried to allocate 2 GiB." in caplog.text
    assert runner._slots.lengths == [0] * 8
    assert not runner._images._open
    submit(engine, noise_image(tiny), "c")
    assert isinstance(run(engine)["c"], Finished)


def test_rows_that_only_wait_are_not_touched_by_a_decode_step_without_memory(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(fp32_runner(tiny, slots=1), stall_s=0.25)
    submit(engine, noise_image(tiny), "running", "waiting")
    run_out_of_memory(monkeypatch, "decode", times=2)
    ended = run(engine)
    assert isinstance(ended["running"], Broken)
    assert isinstance(ended["waiting"], Finished)


def test_rows_that_decode_are_not_touched_when_others_cannot_be_encoded(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(fp32_runner(tiny), stall_s=0.25)
    submit(engine, noise_image(tiny, 1), "decoding", max_tokens=30)
    engine.step()
    submit(engine, noise_image(tiny, 2), "new")
    run_out_of_memory(monkeypatch, "encode_tiles", times=2)
    ended = run(engine)
    assert isinstance(ended["new"], Broken)
    assert isinstance(ended["decoding"], Finished)


def test_an_image_encoded_for_nobody_yet_is_given_up(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = fp32_runner(tiny)
    engine = Engine(runner, stall_s=0.25)
    engine.prefetch(noise_image(tiny))
    run_out_of_memory(monkeypatch, "encode_tiles", times=2)
    assert run(engine) == {}
    assert not engine.busy
    assert not runner._images._open


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


@pytest.mark.parametrize(("times", "end"), [(1, Finished), (2, Broken)], ids=["once", "for good"])
def test_features_for_which_there_is_no_memory_cost_no_worker(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, times: int, end: type
) -> None:
    runner = fp32_runner(tiny)
    engine, real, left = Engine(runner, stall_s=0.25), OpenImages.add, [None] * times

    def add(*arguments: Any) -> None:
        real(*arguments)
        if left:
            left.pop()
            out_of_memory()

    monkeypatch.setattr(OpenImages, "add", add)
    submit(engine, noise_image(tiny), "a", "b")
    assert {name: type(event) for name, event in run(engine).items()} == {"a": end, "b": end}
    assert not runner._images._open


def test_a_feature_folder_is_left_out_when_memory_is_short(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def engine_with_folder() -> tuple[Engine, FeatureFolder]:
        config = tiny.config
        shape = (config.tiles, config.vision.tokens_per_tile, config.vision.width)
        folder = FeatureFolder(tmp_path, 2**30, "float32 cpu", shape, torch.float32)
        return Engine(fp32_runner(tiny, feature_folder=folder), stall_s=0.25), folder

    engine, folder = engine_with_folder()
    with monkeypatch.context() as patch:
        patch.setattr(open_images.torch, "stack", out_of_memory)
        submit(engine, noise_image(tiny), "written")
        assert isinstance(run(engine)["written"], Finished)
    submit(engine, noise_image(tiny, 2), "kept")
    run(engine)
    folder.finish()
    assert len(list(tmp_path.glob("*.features"))) == 1

    engine, folder = engine_with_folder()
    monkeypatch.setattr(folder, "read", lambda _: Mock(to=out_of_memory))
    submit(engine, noise_image(tiny, 2), "read")
    assert isinstance(run(engine)["read"], Finished)

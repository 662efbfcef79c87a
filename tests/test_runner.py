"""The runner: what it is told and in which order; bfloat16; pickling of what travels."""

from __future__ import annotations

import pickle

import pytest
import torch

from model.checkpoint import Checkpoint, open_checkpoint
from model.hardware import Precision
from model.load import load_runner
from model.request import NewRow, Sampling, TileSpan
from model.runner import ModelRunner
from model.tokenizer import END_OF_TEXT
from tests.conftest import OWN_GOLDEN, fp32_runner, noise_image


def greedy(runner: ModelRunner, checkpoint: Checkpoint, tokens: int) -> list[int | None]:
    image = noise_image(checkpoint)
    runner.open_image(image)
    runner.encode([TileSpan(image.pixels_sha256, 0, runner.config.tiles)])
    out = runner.prefill([NewRow(0, image.pixels_sha256, runner.prompt("What?"), (), Sampling())])
    runner.close_image(image.pixels_sha256)
    while len(out) < tokens:
        out += runner.decode([0])
    runner.release(0)
    return out


def test_bfloat16_stays_close_to_float32(tiny: Checkpoint) -> None:
    exact, fast = (
        ModelRunner(tiny, torch.device("cpu"), Precision(dtype, "tested"), slots=2, context_tokens=512)
        for dtype in (torch.float32, torch.bfloat16)
    )
    tiles = noise_image(tiny).tiles
    with torch.inference_mode():
        one = exact._model.encode_tiles(tiles, range(5)).flatten()
        two = fast._model.encode_tiles(tiles, range(5)).float().flatten()
    assert torch.nn.functional.cosine_similarity(one, two, dim=0) > 0.999
    assert fast._slots.keys.dtype is torch.bfloat16
    assert all(token is not None for token in greedy(fast, tiny, 16))


def test_tiles_encoded_one_by_one_are_the_tiles_encoded_together(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    with torch.inference_mode():
        together = runner._model.encode_tiles(image.tiles, range(5))
    assert runner.open_image(image) is False
    for index in range(5):
        assert runner.encoded_tiles(image.pixels_sha256) == index
        runner.encode([TileSpan(image.pixels_sha256, index, index + 1)])
    pieces = runner._open[image.pixels_sha256].features
    torch.testing.assert_close(pieces, together, atol=1e-5, rtol=0)


def test_features_come_go_and_are_told(tiny: Checkpoint) -> None:
    one_image_bytes = 4 * tiny.config.image_tokens * tiny.config.vision.width
    runner = fp32_runner(tiny, feature_cache_bytes=one_image_bytes)
    names = []
    for seed in (1, 2):
        image = noise_image(tiny, seed)
        names.append(image.pixels_sha256)
        runner.open_image(image)
        runner.encode([TileSpan(image.pixels_sha256, 0, 5)])
        runner.close_image(image.pixels_sha256)
    changes = runner.take_cache_changes()
    assert (changes.added, changes.dropped) == ((names[1],), (names[0],))
    runner.forget(names[1])
    assert runner.take_cache_changes().dropped == (names[1],)
    assert runner.cache_bytes == 0


def test_an_image_forgotten_while_it_is_encoded_does_not_come_back(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    runner.open_image(image)
    runner.encode([TileSpan(image.pixels_sha256, 0, 3)])
    runner.forget(image.pixels_sha256)
    runner.encode([TileSpan(image.pixels_sha256, 3, 5)])
    assert runner.cache_bytes == 0


def test_a_tokenizer_sent_to_another_process_still_reads_special_tokens_as_text() -> None:
    tokenizer = open_checkpoint(str(OWN_GOLDEN / "x2-l2")).tokenizer
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode(f"a{END_OF_TEXT}") == tokenizer.encode(f"a{END_OF_TEXT}")
    assert tokenizer.eos_id not in again.encode(END_OF_TEXT)


def test_a_loaded_runner_has_the_name_it_was_given_and_no_more_context_than_the_model() -> None:
    runner = load_runner("random:pheye-micro", name="mine", slots=1, context_tokens=5000, threads=1)
    assert runner.config.name == "mine"
    assert runner.context_tokens == 1024
    assert runner.slots == 1


@pytest.mark.parametrize("slot", [0, 3])
def test_an_answer_is_the_same_in_any_slot(tiny: Checkpoint, slot: int) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    expected = greedy(fp32_runner(tiny), tiny, 8)
    runner.open_image(image)
    runner.encode([TileSpan(image.pixels_sha256, 0, 5)])
    out = runner.prefill([NewRow(slot, image.pixels_sha256, runner.prompt("What?"), (), Sampling())])
    while len(out) < 8:
        out += runner.decode([slot])
    assert out == expected

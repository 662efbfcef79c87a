"""The runner: what it is told and in which order; bfloat16; pickling of what travels."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.config import ConfigError
from model.network import cross_attention
from model.network.pheye import Pheye
from model.pixels.tiles import ImageKey, TiledImage, Tiles, prepare
from model.request import NewRow, Sampling, TileSpan
from model.runtime.features.feature_folder import FeatureFolder
from model.runtime.hardware import Precision
from model.runtime.load import load_runner
from model.runtime.memory_plan import MemoryDemand
from model.runtime.runner import ModelRunner
from model.tokenizer import END_OF_TEXT
from tests.support.golden import OWN_GOLDEN, fp32_runner, noise_image


def greedy(runner: ModelRunner, checkpoint: Checkpoint, tokens: int) -> list[int | None]:
    image = noise_image(checkpoint)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, runner.config.tiles)])
    out = runner.prefill([NewRow(0, image.image_key, runner.prompt("What?"), (), Sampling())])
    runner.close_image(image.image_key)
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


def asked(runner: ModelRunner, image: TiledImage, *questions: str, explain: bool = False) -> list[list[int | None]]:
    """Eight tokens of each answer; the questions come together."""
    for _ in questions:
        runner.open_image(image)
    image_key, slots = image.image_key, range(len(questions))
    if runner.encoded_tiles(image_key) < runner.config.tiles:
        runner.encode([TileSpan(image_key, 0, runner.config.tiles)])
    rows = [
        NewRow(slot, image_key, runner.prompt(question), (), Sampling(), explain=explain)
        for slot, question in zip(slots, questions, strict=True)
    ]
    answers = [[token] for token in runner.prefill(rows)]
    for _ in range(7):
        for answer, token in zip(answers, runner.decode(slots), strict=True):
            answer.append(token)
    return answers


def done(runner: ModelRunner, image: TiledImage, rows: int) -> None:
    for slot in range(rows):
        runner.release(slot)
        runner.close_image(image.image_key)


def grid_image(checkpoint: Checkpoint, changed: tuple[int, int] | None = None, blank: int = 0) -> TiledImage:
    """Noise as large as the local tiles together, so that resizing mixes none of them.

    Args:
        checkpoint: the model.
        changed: pixel that is black.
        blank: rows at the bottom that are white.
    """
    config = checkpoint.config
    side_px = config.vision.tile_px * config.level
    pixels = np.random.default_rng(0).integers(1, 256, size=(side_px, side_px, 3), dtype=np.uint8)
    pixels[side_px - blank :] = 255
    if changed is not None:
        pixels[changed] = 0
    return prepare(Image.fromarray(pixels), config.vision.tile_px, config.level)


def encoded(runner: ModelRunner, image: TiledImage) -> int:
    """Encode an image; return the number of tiles that had to be."""
    known = runner.open_image(image)
    if known < runner.config.tiles:
        runner.encode([TileSpan(image.image_key, known, runner.config.tiles)])
    return runner.config.tiles - known


def test_an_image_of_which_a_corner_changed_costs_that_tile_and_the_global_view(tiny: Checkpoint) -> None:
    before, after = grid_image(tiny), grid_image(tiny, changed=(2, 2))
    runner, fresh = fp32_runner(tiny), fp32_runner(tiny)
    assert [encoded(runner, image) for image in (before, after)] == [5, 2]
    assert asked(runner, after, "What?") == asked(fresh, after, "What?")
    shared, alone = (each._images[after.image_key].complete for each in (runner, fresh))
    torch.testing.assert_close(shared, alone, atol=1e-5, rtol=0)
    tile_bytes = 4 * tiny.config.image_tokens * tiny.config.vision.width // tiny.config.tiles
    assert runner.cache_bytes == 7 * tile_bytes


def test_equal_tiles_of_one_image_are_encoded_once_and_stand_at_their_own_places(tiny: Checkpoint) -> None:
    image = grid_image(tiny, blank=tiny.config.vision.tile_px)
    runner, fresh = fp32_runner(tiny), fp32_runner(tiny)
    assert encoded(runner, image) == 4
    with torch.inference_mode():
        each = fresh._model.encode_tiles(image.tiles, range(5))
        torch.testing.assert_close(
            runner._model.placed(runner._images[image.image_key].complete),
            fresh._model.placed(list(each)),
            atol=1e-5,
            rtol=0,
        )


def test_an_image_of_known_tiles_is_written_to_the_feature_folder_too(tiny: Checkpoint, tmp_path: Path) -> None:
    shape = (tiny.config.tiles, tiny.config.vision.tokens_per_tile, tiny.config.vision.width)
    folder = FeatureFolder(tmp_path, 1 << 30, "float32 cpu", shape, torch.float32)
    runner, image = fp32_runner(tiny, feature_folder=folder), grid_image(tiny)
    same = replace(image, image_key=ImageKey("of the same tiles"))
    assert [encoded(runner, each) for each in (image, same)] == [5, 0]
    folder.finish()
    assert len(list(tmp_path.glob("*.features"))) == 2


def test_without_keys_of_tiles_nothing_is_shared(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), grid_image(tiny, blank=tiny.config.vision.tile_px)
    other = replace(grid_image(tiny, changed=(2, 2)), tile_keys=())
    assert [encoded(runner, each) for each in (replace(image, tile_keys=()), other)] == [5, 5]


def test_what_prompts_share_is_read_once_for_an_image_and_answers_stay_the_same(tiny: Checkpoint) -> None:
    questions, image, read = ["What?", "Which colour is it?", "How many are there in all?"], noise_image(tiny), []
    runner, fresh = fp32_runner(tiny), fp32_runner(tiny)
    prefill = runner._model.prefill

    def counted(slots: Any, rows: Any, prompts: Any, starts: Any, watch: Any) -> Any:
        read.extend(len(prompt) - start for prompt, start in zip(prompts, starts, strict=True))
        return prefill(slots, rows, prompts, starts, watch)

    runner._model.prefill = counted
    wanted = []
    for question in questions:
        wanted += asked(fresh, image, question)
        done(fresh, image, 1)
        fresh.forget(image.image_key)
    assert asked(runner, image, *questions) == wanted
    done(runner, image, 3)
    assert asked(runner, image, questions[2]) == wanted[2:]
    lengths, shared = [len(runner.prompt(question)) for question in questions], len(runner._slots.prefix)
    assert shared > 30
    assert read == [lengths[0], lengths[1] - shared, lengths[2] - shared, lengths[2] - shared]


def test_a_prompt_that_fills_the_context_is_read_beside_one_whose_beginning_is_known(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an image whose first row has failed no beginning is known, so that starts and lengths are any."""
    runner = fp32_runner(tiny, slots=2, context_tokens=256)
    known, unknown = noise_image(tiny, 1), noise_image(tiny, 2)
    (wanted,) = asked(runner, known, "What?")
    done(runner, known, 1)
    with monkeypatch.context() as failing:
        failing.setattr(runner._slots, "keep_beginning", lambda *_: None)
        asked(runner, unknown, "What?")
        done(runner, unknown, 1)
    short, full = runner.prompt("What?"), runner.prompt("What?") + (5,) * (255 - len(runner.prompt("What?")))
    for image in (known, unknown):
        runner.open_image(image)
    rows = [NewRow(0, known.image_key, short, (), Sampling()), NewRow(1, unknown.image_key, full, (), Sampling())]
    assert runner.prefill(rows)[0] == wanted[0]
    assert [runner.decode([0])[0] for _ in wanted[1:]] == wanted[1:]


def test_an_explanation_is_the_same_when_the_beginning_was_known(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    asked(runner, image, "What?", explain=True)
    first = runner.explain(0, ["word"] * 8)
    done(runner, image, 1)
    asked(runner, image, "What?", explain=True)
    assert len(runner._running[0].attention or []) == 8
    again = runner.explain(0, ["word"] * 8)
    np.testing.assert_allclose(again.heat_map.values, first.heat_map.values, atol=1e-5)


def test_forgetting_an_image_forgets_its_beginning(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    asked(runner, image, "What?")
    done(runner, image, 1)
    assert runner._slots.has_image(image.image_key)
    runner.forget(image.image_key)
    assert not runner._slots.has_image(image.image_key)


@pytest.mark.parametrize("amx", [True, False], ids=["amx", "no-amx"])
def test_int8_answers_alike_alone_and_in_a_crowd_and_keeps_half_the_bytes(
    tiny: Checkpoint, amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_attention, "_has_amx", lambda: amx)
    one, other = (
        ModelRunner(tiny, torch.device("cpu"), Precision(torch.float32, "tested", bits=8), slots=4) for _ in range(2)
    )
    image, questions = noise_image(tiny), ["What?", "Which colour is it?"]
    together = asked(one, image, *questions)
    assert all(token is not None for answer in together for token in answer)
    for question, answer in zip(questions, together, strict=True):
        assert asked(other, image, question) == [answer]
        done(other, image, 1)
    assert one.cache_bytes == 2 * tiny.config.image_tokens * tiny.config.vision.width
    assert one._slots.images.keys.dtype is one._slots.images.values.dtype is torch.bfloat16


def test_tiles_encoded_one_by_one_are_the_tiles_encoded_together(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    with torch.inference_mode():
        together = runner._model.encode_tiles(image.tiles, range(5))
    assert runner.open_image(image) == 0
    for index in range(5):
        assert runner.encoded_tiles(image.image_key) == index
        runner.encode([TileSpan(image.image_key, index, index + 1)])
    pieces = torch.stack(runner._images[image.image_key].complete)
    torch.testing.assert_close(pieces, together, atol=1e-5, rtol=0)


def test_an_image_encoded_in_halves_by_two_threads_is_the_same(tiny: Checkpoint) -> None:
    runner = fp32_runner(tiny, lone_threads=2)
    once = greedy(runner, tiny, 8)
    runner.forget(noise_image(tiny).image_key)
    runner.use_cores(alone=True)
    assert greedy(runner, tiny, 8) == once
    tiles, places = noise_image(tiny).tiles, range(runner.config.tiles)
    with torch.inference_mode():
        halves = runner._encoder.encode([tiles], places)
        runner.use_cores(alone=False)
        torch.testing.assert_close(halves, runner._encoder.encode([tiles], places), rtol=0, atol=1e-5)


def test_features_come_go_and_are_told(tiny: Checkpoint) -> None:
    one_image_bytes = 4 * tiny.config.image_tokens * tiny.config.vision.width
    runner = fp32_runner(tiny, feature_cache_bytes=one_image_bytes)
    image_keys = []
    for seed in (1, 2):
        image = noise_image(tiny, seed)
        image_keys.append(image.image_key)
        runner.open_image(image)
        runner.encode([TileSpan(image.image_key, 0, 5)])
        runner.close_image(image.image_key)
    changes = runner.take_cache_changes()
    assert (changes.added, changes.dropped) == ((image_keys[1],), (image_keys[0],))
    runner.forget(image_keys[1])
    assert runner.take_cache_changes().dropped == (image_keys[1],)
    assert runner.cache_bytes == 0


def test_an_image_forgotten_while_it_is_encoded_does_not_come_back(tiny: Checkpoint) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, 3)])
    runner.forget(image.image_key)
    runner.encode([TileSpan(image.image_key, 3, 5)])
    assert runner.cache_bytes == 0


def test_a_tokenizer_sent_to_another_process_still_reads_special_tokens_as_text() -> None:
    tokenizer = open_checkpoint(str(OWN_GOLDEN / "x2-l2")).tokenizer
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode(f"a{END_OF_TEXT}") == tokenizer.encode(f"a{END_OF_TEXT}")
    assert tokenizer.eos_id not in again.encode(END_OF_TEXT)


def test_a_loaded_runner_has_the_name_it_was_given_and_no_more_context_than_the_model() -> None:
    runner = load_runner("random:pheye-micro", name="mine", demand=MemoryDemand(5000, slots=1), threads=1)
    assert runner.config.name == "mine"
    assert runner.context_tokens == 1024
    assert runner.slots == 1


@pytest.mark.parametrize("slot", [0, 3])
def test_an_answer_is_the_same_in_any_slot(tiny: Checkpoint, slot: int) -> None:
    runner, image = fp32_runner(tiny), noise_image(tiny)
    expected = greedy(fp32_runner(tiny), tiny, 8)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, 5)])
    out = runner.prefill([NewRow(slot, image.image_key, runner.prompt("What?"), (), Sampling())])
    while len(out) < 8:
        out += runner.decode([slot])
    assert out == expected


def test_a_warm_up_encodes_one_tile_and_leaves_nothing_behind(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold, warm = fp32_runner(tiny), fp32_runner(tiny)
    encode_tiles, seen = Pheye.encode_tiles, []

    def watched(self: Pheye, tiles: Tiles, indices: Sequence[int]) -> torch.Tensor:
        seen.extend(indices)
        return encode_tiles(self, tiles, indices)

    with monkeypatch.context() as patched:
        patched.setattr(Pheye, "encode_tiles", watched)
        warm.warm_up()
    assert seen == [0]
    assert warm.cache_bytes == 0
    image = noise_image(tiny)
    assert asked(warm, image, "What is this?") == asked(cold, image, "What is this?")


def test_another_geometry_of_the_encoder_has_features_of_its_own(tmp_path: Path, tiny: Checkpoint) -> None:
    shape = (tiny.config.tiles, tiny.config.vision.tokens_per_tile, tiny.config.vision.width)
    folder = FeatureFolder(tmp_path, 1 << 30, "float32 cpu", shape, torch.float32)
    other = replace(tiny, config=replace(tiny.config, vision=replace(tiny.config.vision, activation="gelu")))
    counts = []
    for checkpoint in (tiny, tiny, other):
        counts.append(encoded(fp32_runner(checkpoint, feature_folder=folder), noise_image(tiny)))
        folder.finish()
    assert counts == [5, 0, 5]


def test_a_model_without_room_for_any_prompt_is_refused_by_key(tiny: Checkpoint) -> None:
    decoder = replace(tiny.config.decoder, max_positions=8)
    short = replace(tiny, config=replace(tiny.config, decoder=decoder))
    precision = Precision(torch.float32, "tested")
    with pytest.raises(ConfigError, match="max_position_embeddings: 8 are too few: the shortest prompt has"):
        ModelRunner(short, torch.device("cpu"), precision, slots=1, context_tokens=8)

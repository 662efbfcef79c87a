"""Parity with the original model: features, logits and tokens, by the fast path and by its naive twin."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.network.pheye import Pheye
from tests.support.golden import Golden

CPU, FP32 = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def pheye(golden: Golden) -> Pheye:
    return Pheye(golden.checkpoint.tensors, golden.checkpoint.config, CPU, FP32)


def features(pheye: Pheye, golden: Golden, name: str) -> torch.Tensor:
    return pheye.placed(tiles_of(pheye, golden, name))


def tiles_of(pheye: Pheye, golden: Golden, name: str) -> list[torch.Tensor]:
    return list(pheye.encode_tiles(golden.image(name).tiles, range(pheye.config.tiles)))


@torch.inference_mode()
def continue_greedily(
    pheye: Pheye, seen: list[torch.Tensor], prompt: list[int], tokens: int, eos: int | None = None
) -> tuple[list[int], list[torch.Tensor]]:
    slots = pheye.new_slots(2, 256)
    pheye.admit_image(slots, "image", seen)
    slots.occupy(1, "image", len(prompt))
    steps = [pheye.prefill(slots, [1], [prompt])[0]]
    out = [int(steps[0].argmax())]
    while len(out) < tokens and out[-1] != eos:
        steps.append(pheye.decode(slots, [1], [out[-1]])[0])
        out.append(int(steps[-1].argmax()))
    return out, steps


def test_pixels_of_every_image_equal_the_original_preprocessing(golden: Golden, pheye: Pheye) -> None:
    for key, expected in golden.tensors.items():
        if key.startswith("pixels."):
            name = golden.data["images"][int(key.removeprefix("pixels."))]
            tiles = torch.from_numpy(golden.image(name).tiles)
            torch.testing.assert_close(pheye._vision.patches.pixels(tiles), expected, atol=1e-6, rtol=0)


def test_features_of_every_image_are_within_1e_4(golden: Golden, pheye: Pheye) -> None:
    for index, name in enumerate(golden.data["images"]):
        expected = golden.tensors[f"vision.{index}"]
        torch.testing.assert_close(features(pheye, golden, name), expected, atol=1e-4, rtol=0)


def test_features_of_many_images_in_one_batch_are_within_1e_4(golden: Golden, pheye: Pheye) -> None:
    tiles = torch.cat([torch.from_numpy(golden.image(name).tiles) for name in golden.data["images"]])
    count = len(golden.data["images"])
    batched = pheye.encode_tiles(tiles.numpy(), [*range(pheye.config.tiles)] * count)
    images = torch.stack([pheye.placed(image) for image in batched.view(count, -1, *batched.shape[1:])])
    torch.testing.assert_close(images, golden.tensors["vision.batch_all"], atol=1e-4, rtol=0)


def test_every_case_is_equal_token_for_token_with_and_without_eos(golden: Golden, pheye: Pheye) -> None:
    eos = golden.checkpoint.tokenizer.eos_id
    for case in golden.cases:
        prompt = golden.checkpoint.tokenizer.encode(case["prompt"])
        assert prompt == case["input_ids"]
        seen = tiles_of(pheye, golden, case["image"])
        tokens, steps = continue_greedily(pheye, seen, prompt, 24)
        assert tokens == case["greedy_no_eos"], case["case"]
        assert continue_greedily(pheye, seen, prompt, 24, eos)[0] == case["greedy_eos"], case["case"]
        torch.testing.assert_close(steps[0], golden.tensors[f"logits.{case['case']}"], atol=1e-4, rtol=0)
        if f"step_logits.{case['case']}" in golden.tensors:
            every_step = golden.tensors[f"step_logits.{case['case']}"]
            torch.testing.assert_close(torch.stack(steps), every_step, atol=1e-4, rtol=0)


def test_the_naive_twin_gives_the_same_features_and_tokens(golden: Golden, pheye: Pheye) -> None:
    naive, eos = golden.naive(), golden.checkpoint.tokenizer.eos_id
    with torch.inference_mode():
        for index, name in enumerate(golden.data["images"]):
            pixels = pheye._vision.patches.pixels(torch.from_numpy(golden.image(name).tiles))[None]
            expected = golden.tensors[f"vision.{index}"]
            torch.testing.assert_close(naive.vision_encoder(pixels)[0], expected, atol=1e-4, rtol=0)
    for case in golden.cases[::3]:
        seen = golden.tensors[f"vision.{case['image_index']}"][None]
        assert naive.generate(case["input_ids"], seen, 24, None) == case["greedy_no_eos"]
        assert naive.generate(case["input_ids"], seen, 24, eos) == case["greedy_eos"]


def padded_batches() -> Any:
    return pytest.mark.parametrize("which", range(2), ids=["three rows", "four rows"])


@padded_batches()
def test_prompts_of_different_lengths_prefilled_together_answer_as_if_alone(
    golden: Golden, pheye: Pheye, which: int
) -> None:
    """The original's own right-padded batches corrupt most rows; ours must equal the single runs."""
    cases = [golden.cases[index] for index in golden.data["batches"][which]["cases"]]
    assert not all(golden.data["batches"][which]["rows_equal_single"])
    slots, rows = pheye.new_slots(8, 256), [5, 0, 3, 6][: len(cases)]
    with torch.inference_mode():
        for row, case in zip(rows, cases, strict=True):
            if not slots.has_image(case["image"]):
                pheye.admit_image(slots, case["image"], tiles_of(pheye, golden, case["image"]))
            slots.occupy(row, case["image"], len(case["input_ids"]))
        logits = pheye.prefill(slots, rows, [case["input_ids"] for case in cases])
        out = [[int(token)] for token in logits.argmax(-1)]
        for _ in range(23):
            logits = pheye.decode(slots, rows, [tokens[-1] for tokens in out])
            for tokens, token in zip(out, logits.argmax(-1).tolist(), strict=True):
                tokens.append(token)
    assert out == [case["greedy_no_eos"] for case in cases]

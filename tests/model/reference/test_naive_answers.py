"""Answers by the naive twin are those of the fast path, word for word."""

from __future__ import annotations

import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.pixels.tiles import TiledImage
from model.prompt import caption_instruction, question_instruction
from model.reference.naive_answers import NaiveAnswers, load_naive
from model.request import NewRow, Sampling, TileSpan
from tests.support.golden import Golden, fp32_runner, noise_image
from tests.support.serving import RANDOM

INSTRUCTIONS = [caption_instruction(), question_instruction("What colour is it?", "short"), ""]


def naive(checkpoint: Checkpoint) -> NaiveAnswers:
    return NaiveAnswers(checkpoint, torch.device("cpu"), torch.float32)


def fast_answers(checkpoint: Checkpoint, image: TiledImage, max_tokens: int) -> list[tuple[str, int, int]]:
    """Text, tokens of the prompt and tokens generated, by the runner."""
    runner = fp32_runner(checkpoint)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, runner.config.tiles)])
    prompts = [runner.prompt(instruction) for instruction in INSTRUCTIONS]
    sampling = Sampling(max_tokens=max_tokens)
    told = []
    for prompt in prompts:
        tokens = runner.prefill([NewRow(0, image.image_key, prompt, (), sampling)])
        while tokens[-1] != runner.eos_id and len(tokens) < max_tokens:
            tokens += runner.decode([0])
        runner.release(0)
        text = runner.tokenizer.decode(token for token in tokens if token is not None)
        told.append((text.lstrip(), len(prompt), len(tokens)))
    return told


def test_answers_are_the_fast_paths(tiny: Checkpoint) -> None:
    twin = naive(tiny)
    for seed in range(2):
        image = noise_image(tiny, seed)
        found = [(a.text, a.prompt_tokens, a.completion_tokens) for a in twin.answers(image.tiles, INSTRUCTIONS, 12)]
        assert found == fast_answers(tiny, image, 12)


def test_every_golden_case_is_answered_as_by_the_original(golden: Golden) -> None:
    twin, tokenizer = naive(golden.checkpoint), golden.checkpoint.tokenizer
    for case in golden.cases:
        instruction = case["prompt"].partition("\n\nInstruction: ")[2].removesuffix("\nOutput:")
        (answer,) = twin.answers(golden.image(case["image"]).tiles, [instruction], 24)
        expected = case["greedy_eos"]
        assert answer.text == tokenizer.decode(expected).lstrip()
        assert (answer.prompt_tokens, answer.completion_tokens) == (len(case["input_ids"]), len(expected))
        assert answer.finish_reason == ("stop" if expected[-1] == tokenizer.eos_id else "length")


def test_a_model_is_loaded_by_name_in_the_format_asked_for(tiny: Checkpoint) -> None:
    twin = load_naive(RANDOM, None, "cpu", "bfloat16", 1)
    assert (twin.config.name, str(twin.device), twin.dtype_name) == ("pheye-micro-random-weights", "cpu", "bfloat16")
    (answer,) = twin.answers(noise_image(tiny).tiles, ["What?"], 3)
    assert answer.completion_tokens == 3


@pytest.mark.parametrize(
    ("source", "device", "dtype", "said"),
    [
        ("random:pheye-huge", "cpu", "auto", "no geometry 'pheye-huge'"),
        (RANDOM, "abacus", "auto", "not a device"),
        (RANDOM, "cpu", "int8", "knows no int8"),
    ],
    ids=["model", "device", "dtype"],
)
def test_what_cannot_be_loaded_is_named(source: str, device: str, dtype: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_naive(source, None, device, dtype, 1)

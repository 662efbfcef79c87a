"""Workloads: both sides make the same, a wrong side is found, and calls can be repeated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from model.bench.halves import Twin, load_fast, load_twin, trimmed
from model.bench.model_under_test import ModelUnderTest
from model.bench.result import ALIKE
from model.bench.roofline.floors import PassCosts
from model.bench.sides import FastRows, NaiveRow
from model.bench.workloads import ANSWER_TOKENS, CAPTION_TOKENS, KINDS, WALKED_TOKENS, tokens_alike
from model.checkpoint.checkpoint import Checkpoint
from model.network.pheye import Pheye
from model.runtime.hardware import Precision

EXACT = Precision(torch.float32, "tested")
CASES = [(name, rows) for name in KINDS for rows in (1, 3)]


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def twin(tiny: Checkpoint) -> Twin:
    return load_twin(trimmed(tiny, frozenset({"vision", "decoder"})), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def fast(twin: Twin) -> Pheye:
    return load_fast(twin, EXACT)


def model_under_test(twin: Twin, fast: Pheye, *, shared_image: bool = False) -> ModelUnderTest:
    return ModelUnderTest(twin, fast, EXACT, PassCosts(fast.config, "float32"), 24, shared_image)


@pytest.mark.parametrize("shared_image", [False, True], ids=["an image each", "one image"])
@pytest.mark.parametrize(("name", "rows"), CASES)
def test_both_sides_make_the_same_every_time(name: str, rows: int, shared_image: bool, twin: Twin, fast: Pheye) -> None:
    workload = KINDS[name].build(model_under_test(twin, fast, shared_image=shared_image), rows)
    laps: list[str] = []
    for _ in range(2):
        slow, quick = (side(lambda: laps.append("lap")) for side in (workload.baseline, workload.fast))
        assert workload.agreement(slow, quick) >= ALIKE
    assert len(laps) == 2 * 2 * (len(workload.marks) - 1), "a lap for each mark but the end's, on both sides"


@pytest.mark.parametrize(("name", "rows"), [case for case in CASES if case[0] != "questions"])
def test_a_side_that_computes_something_else_is_found(name: str, rows: int, twin: Twin) -> None:
    spoilt = dict(twin.checkpoint.tensors)
    for weight in [name for name in spoilt if name.endswith(("norm_lvl_2.bias", "final_layernorm.bias"))]:
        spoilt[weight] = spoilt[weight].roll(1) + torch.linspace(-1, 1, len(spoilt[weight]))
    fast = Pheye(spoilt, twin.checkpoint.config, twin.device, twin.dtype)
    workload = KINDS[name].build(model_under_test(twin, fast), rows)
    slow, quick = (side(lambda: None) for side in (workload.baseline, workload.fast))
    assert workload.agreement(slow, quick) < ALIKE


@pytest.mark.parametrize("name", ["prefill", "decode", "caption"])
def test_rows_that_look_at_each_others_images_are_found(
    name: str, twin: Twin, fast: Pheye, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FastRows.read
    monkeypatch.setattr(
        FastRows, "read", lambda rows, images, prompts: read(rows, dict(reversed(images.items())), prompts)
    )
    workload = KINDS[name].build(model_under_test(twin, fast), 4)
    slow, quick = (side(lambda: None) for side in (workload.baseline, workload.fast))
    assert workload.agreement(slow, quick) < ALIKE


@pytest.mark.parametrize(
    ("name", "rows", "marks"),
    [
        ("encode", 2, {"encode": 0}),
        ("prefill", 2, {"prefill": 2}),
        ("decode", 2, {"decode": 2}),
        ("caption", 1, {"caption_first_token": 1, "caption": CAPTION_TOKENS}),
        ("caption", 2, {"caption": 2 * CAPTION_TOKENS}),
        ("second", 1, {"second_first_token": 1, "second": ANSWER_TOKENS}),
        ("questions", 4, {"questions": 4 * ANSWER_TOKENS}),
    ],
)
def test_tokens_are_counted_at_every_mark(name: str, rows: int, marks: dict[str, int], twin: Twin, fast: Pheye) -> None:
    workload = KINDS[name].build(model_under_test(twin, fast), rows)
    assert {mark.name: mark.tokens for mark in workload.marks} == marks
    made = workload.fast(lambda: None)
    if name in ("caption", "second", "questions"):
        assert sum(len(row) for row in made) == workload.marks[-1].tokens


def test_random_weights_say_different_things_to_different_rows(twin: Twin, fast: Pheye) -> None:
    workload = KINDS["decode"].build(model_under_test(twin, fast), 4)
    said = workload.fast(lambda: None)
    assert len(said) == WALKED_TOKENS + 2
    assert len({token for step in said for token in step}) > 10, "equal tokens must mean something"


def test_prompts_begin_alike_and_end_at_unequal_lengths(twin: Twin, fast: Pheye) -> None:
    prompts = model_under_test(twin, fast).prompts(4)
    lengths = [len(prompt) for prompt in prompts]
    assert lengths[0] == 24
    assert len(set(lengths)) == 4
    assert len({tuple(prompt[:16]) for prompt in prompts}) == 1
    assert len({tuple(prompt[16:17]) for prompt in prompts}) == 4


def test_rows_look_at_an_image_each_or_at_one(twin: Twin, fast: Pheye) -> None:
    assert KINDS["decode"].build(model_under_test(twin, fast), 3).images == 3
    assert KINDS["decode"].build(model_under_test(twin, fast, shared_image=True), 3).images == 1
    first, second = model_under_test(twin, fast).features(2)
    assert not torch.equal(first, second)


def test_a_repeated_step_is_the_same_step(twin: Twin, fast: Pheye) -> None:
    under_test = model_under_test(twin, fast)
    (image,), (prompt,) = under_test.features(1), under_test.prompts(1)
    naive, slots = NaiveRow(twin.model, *under_test.placed([image])), under_test.slots(1, 8)
    first = naive.read(prompt)
    assert slots.read({"it": image}, [prompt]) == [first]
    said = [naive.repeat(5), naive.repeat(6), naive.repeat(5), *slots.repeat([5]), *slots.repeat([6])]
    assert said == [said[0], said[1], said[0], said[0], said[1]]
    assert [naive.read([5])] == slots.step([5]) == [said[0]]


def test_sides_of_different_shapes_are_no_comparison() -> None:
    with pytest.raises(RuntimeError, match="size"):
        tokens_alike([[1, 2]], [[1, 2, 3]])

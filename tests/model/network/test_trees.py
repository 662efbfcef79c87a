"""Tree attention: every edge of a tree has the log-probability that the naive twin gives to its choice alone."""

from __future__ import annotations

import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.choices import ChoiceTree
from model.network import trees
from model.request import NewRow, Sampling, TileSpan
from model.runtime.hardware import Precision
from model.runtime.runner import ModelRunner
from tests.support.golden import fp32_runner, noise_image
from tests.support.likelihood import Likelihood

QUESTION = "Which one?"
ODD = ["cat", "cat and dog", "ca", "\u00e9\u2603 \U0001f600", "dog", "w1 w2", "a\nb"]


@pytest.fixture(scope="module")
def naive(tiny: Checkpoint) -> Likelihood:
    return Likelihood(tiny)


def scored(runner: ModelRunner, checkpoint: Checkpoint, choices: list[str], slot: int = 0) -> list[list[float]]:
    """Log-probability of each token of each choice."""
    image, tree = noise_image(checkpoint), runner.choice_tree(choices)
    if not runner.open_image(image) and not runner.encoded_tiles(image.image_key):
        runner.encode([TileSpan(image.image_key, 0, runner.config.tiles)])
    found: list[torch.Tensor] = []
    score = runner._model.prefill_choices

    def kept(*given: object) -> list[torch.Tensor]:
        found.extend(edges := score(*given))
        return edges

    runner._model.prefill_choices = kept
    runner.prefill([NewRow(slot, image.image_key, runner.prompt(QUESTION), (), Sampling(), choices=tree)])
    runner._model.prefill_choices = score
    runner.close_image(image.image_key)
    runner.release(slot)
    return [found[0][tree.edges_of(choice)].tolist() for choice in range(len(choices))]


@pytest.mark.parametrize("absorbed", [False, True], ids=["kept-keys-and-values", "absorbed"])
@pytest.mark.parametrize("choices", [["A", "B", "C"], ODD], ids=["letters", "odd texts"])
def test_a_tree_gives_each_choice_what_the_naive_twin_gives_it_alone(
    tiny: Checkpoint, naive: Likelihood, choices: list[str], absorbed: bool
) -> None:
    expected = naive.of_choices(noise_image(tiny), QUESTION, choices)
    runner = fp32_runner(tiny, absorbed=absorbed)
    for slot in (0, 5):  # the second time the beginning of the prompt is known
        for logprobs, wanted in zip(scored(runner, tiny, choices, slot), expected, strict=True):
            assert logprobs == pytest.approx(wanted, abs=2e-5)


def test_logits_made_in_parts_are_those_made_together(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored(fp32_runner(tiny), tiny, ODD)
    monkeypatch.setattr(trees, "_SCORED_TOGETHER", 3)
    for logprobs, wanted in zip(scored(fp32_runner(tiny), tiny, ODD), whole, strict=True):
        assert logprobs == pytest.approx(wanted, abs=1e-5)


def test_a_tree_may_take_all_that_its_prompt_leaves_of_a_slot(tiny: Checkpoint, naive: Likelihood) -> None:
    runner = fp32_runner(tiny)
    room = runner.context_tokens - len(runner.prompt(QUESTION))
    choices = ["a" * (room // 2 - 1), "b" * (room - room // 2 - 1)]  # a byte is a token, and so is the space
    tree = runner.choice_tree(choices)
    assert len(tree) == room - 1  # the space is one node
    found, wanted = scored(runner, tiny, choices), naive.of_choices(noise_image(tiny), QUESTION, choices)
    for logprobs, expected in zip(found, wanted, strict=True):
        assert logprobs == pytest.approx(expected, abs=1e-4)


def test_trees_of_different_sizes_are_read_together(tiny: Checkpoint) -> None:
    """Rows with few and many choices in one batch, the one at the end of its slot padded like the others."""
    image = noise_image(tiny)
    together = fp32_runner(tiny)
    together.open_image(image)
    together.encode([TileSpan(image.image_key, 0, together.config.tiles)])
    asked = [["A", "B"], ODD, ["yes", "no", "yes and no"]]
    rows = [
        NewRow(slot, image.image_key, together.prompt(QUESTION), (), Sampling(), choices=together.choice_tree(choices))
        for slot, choices in enumerate(asked)
    ]
    together.prefill(rows)
    for slot, choices in enumerate(asked):
        alone = scored(fp32_runner(tiny), tiny, choices)
        chosen = together.choice(slot)
        assert chosen is not None
        assert list(chosen.logprobs) == pytest.approx(alone[chosen.index], abs=1e-5)


@pytest.mark.parametrize(
    "precision",
    [Precision(torch.bfloat16, "tested"), Precision(torch.float32, "tested", bits=8)],
    ids=["bfloat16", "int8"],
)
def test_other_number_formats_score_choices_nearly_alike(
    tiny: Checkpoint, naive: Likelihood, precision: Precision
) -> None:
    runner = ModelRunner(tiny, torch.device("cpu"), precision, slots=2, context_tokens=512)
    wanted = naive.of_choices(noise_image(tiny), QUESTION, ODD)
    for logprobs, expected in zip(scored(runner, tiny, ODD), wanted, strict=True):
        assert logprobs == pytest.approx(expected, abs=0.3)


def test_a_tree_has_a_place_for_each_beginning() -> None:
    assert len(ChoiceTree.of([[1, 2, 3], [1, 2, 4], [1]], 0)) == 4

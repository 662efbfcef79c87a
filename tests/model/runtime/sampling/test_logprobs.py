"""Log-probabilities of tokens and of choices: as numpy would compute them, told only to those who asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from model.choices import ChoiceTree
from model.request import Sampling
from model.runtime.sampling.logprobs import choose_choice, token_logprobs

TREE = ChoiceTree.of([[5], [6, 7], [6]], eos_id=0)
# Of the edges to tokens 5, 6 and 7, and then to the end of each choice.
EDGES = torch.tensor([0.2, 0.5, 0.25, 0.5, 0.8, 0.4]).log()
CHANCES = [0.1, 0.1, 0.2]


def test_each_row_is_told_of_its_own_token_and_as_many_others_as_it_asked_for() -> None:
    logits = 3 * torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    expected = logits.double().log_softmax(dim=-1)
    told = token_logprobs(logits, [4, None, 9], [0, 3, 50])
    assert [told[0].logprob, told[2].logprob] == pytest.approx([float(expected[0, 4]), float(expected[2, 9])], abs=1e-5)
    assert [len(each.top) for each in told] == [0, 3, 50]
    assert [token for token, _ in told[2].top] == expected[2].sort(descending=True).indices.tolist()
    assert [logprob for _, logprob in told[1].top] == pytest.approx(expected[1].topk(3).values.tolist(), abs=1e-5)


def test_more_alternatives_than_there_are_tokens_are_all_of_them() -> None:
    (told,) = token_logprobs(torch.zeros(1, 4), [2], [20])
    assert sorted(token for token, _ in told.top) == [0, 1, 2, 3]


def test_logits_of_half_precision_are_summed_in_float32() -> None:
    logits = torch.zeros(1, 50_000, dtype=torch.bfloat16)
    assert token_logprobs(logits, [1], [0])[0].logprob == pytest.approx(-torch.tensor(50_000.0).log().item(), abs=1e-4)


def test_a_choice_is_as_probable_as_its_tokens_and_the_end_token_among_the_choices() -> None:
    chosen = choose_choice(EDGES, TREE, Sampling())
    assert chosen is not None
    assert chosen.probabilities == pytest.approx([chance / sum(CHANCES) for chance in CHANCES])
    assert (chosen.index, chosen.tokens) == (2, (6, 0))
    assert chosen.logprobs == pytest.approx(torch.tensor([0.5, 0.4]).log().tolist())


def test_the_first_of_equally_probable_choices_is_taken() -> None:
    tree = ChoiceTree.of([[1], [2], [3]], eos_id=0)
    chosen = choose_choice(torch.zeros(6), tree, Sampling())
    assert chosen is not None
    assert chosen.index == 0


def test_a_sampled_choice_is_drawn_by_its_probability_and_repeats() -> None:
    draws = [choose_choice(EDGES, TREE, Sampling(temperature=1.0, seed=seed)) for seed in range(400)]
    counts = Counter(draw.index for draw in draws if draw is not None)
    assert [counts[index] / 400 for index in range(3)] == pytest.approx([0.25, 0.25, 0.5], abs=0.08)
    assert draws[7] == choose_choice(EDGES, TREE, Sampling(temperature=1.0, seed=7))
    inside = [choose_choice(EDGES, TREE, Sampling(temperature=1.0, top_p=0.4, seed=seed)) for seed in range(50)]
    assert {draw.index for draw in inside if draw is not None} == {2}


def test_numbers_that_are_not_finite_choose_nothing() -> None:
    assert choose_choice(torch.full_like(EDGES, torch.nan), TREE, Sampling()) is None


@pytest.mark.parametrize(("chance", "refused"), [(0.3, True), (0.15, False)], ids=["most probable", "less than one"])
def test_the_sentence_beside_the_choices_is_compared_with_them_and_never_taken(chance: float, refused: bool) -> None:
    tree = ChoiceTree.of([[5], [6, 7], [6], [8]], eos_id=0, refusable=True)
    edges = torch.cat([EDGES[:3], torch.tensor([chance]).log(), EDGES[3:], torch.tensor([1.0]).log()])
    without = choose_choice(EDGES, TREE, Sampling())
    assert without is not None
    assert choose_choice(edges, tree, Sampling()) == replace(without, refused=refused)
    drawn = [choose_choice(edges, tree, Sampling(temperature=2.0, seed=seed)) for seed in range(50)]
    assert {each.index for each in drawn if each is not None} == {0, 1, 2}

"""Attention by layer and tertile, from the shares that a real model's answers carry (appendix C of the paper)."""

from __future__ import annotations

import pytest

from model.evaluation.attention import LayerMean, shares_by_layer
from model.evaluation.tertiles import NotComparable
from tests.support.datasets import answered, case


def test_shares_are_means_over_all_answers_and_over_each_tertile() -> None:
    run = [
        answered(case("a", area=0.3), layer1=0.8, layer3=0.1),
        answered(case("b", area=0.1), layer1=0.2, layer3=0.3),
        answered(case("c", area=0.2), layer1=0.5, layer3=0.2),
        answered(case("d"), layer1=0.5, layer3=0.0),
    ]
    means = shares_by_layer(run)
    assert means[:2] == [LayerMean("all", 1, 4, 0.5), LayerMean("all", 3, 4, pytest.approx(0.15))]  # type: ignore[arg-type]
    by_tertile = {(each.tertile, each.layer): (each.answers, each.global_share) for each in means[2:]}
    assert by_tertile == {
        ("fine", 1): (1, 0.2),
        ("fine", 3): (1, 0.3),
        ("medium", 1): (1, 0.5),
        ("medium", 3): (1, 0.2),
        ("broad", 1): (1, 0.8),
        ("broad", 3): (1, 0.1),
    }
    assert means[0].local_share == 0.5


def test_without_areas_there_is_one_mean_a_layer() -> None:
    run = [answered(case(name), layer1=share) for name, share in (("a", 0.25), ("b", 0.75))]
    assert shares_by_layer(run) == [LayerMean("all", 1, 2, 0.5)]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ([answered(case("a"))], "evaluate again with --attention"),
        ([], "evaluate again with --attention"),
        ([answered(case("a"), layer1=0.5), answered(case("b"))], "case b: it has not the same layers"),
    ],
    ids=["not recorded", "no answers", "recorded for some"],
)
def test_answers_that_do_not_tell_are_named(run: list, words: str) -> None:
    with pytest.raises(NotComparable, match=words):
        shares_by_layer(run)

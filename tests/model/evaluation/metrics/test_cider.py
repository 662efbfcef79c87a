"""CIDEr-D: the public implementation's scores, from caption text to number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.evaluation.metrics.cider import cider_d
from model.evaluation.metrics.words import caption_words

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden_metrics.json").read_text())
CASES: list[dict[str, Any]] = GOLDEN["cider"]


def scores(cases: list[dict[str, Any]]) -> list[float]:
    said = [caption_words(case["caption"]) for case in cases]
    return cider_d(said, [[caption_words(each) for each in case["references"]] for case in cases])


def test_the_scores_are_those_of_the_public_implementation() -> None:
    found = scores(CASES)
    assert found == pytest.approx([case["score"] for case in CASES], abs=1e-9)
    assert sum(found) / len(found) == pytest.approx(GOLDEN["cider_mean"], abs=1e-9)


def test_saying_what_everybody_says_of_this_image_alone_is_worth_ten() -> None:
    references = [[["a", "blue", "bird", "sings"]] * 2, [["two", "cars", "in", "town"]]]
    assert cider_d([references[0][0], references[1][0]], references) == pytest.approx([10.0, 10.0])


def test_what_is_said_of_every_image_is_worth_nothing() -> None:
    same = ["a", "picture", "of", "something"]
    assert cider_d([same, same], [[same], [same]]) == [0.0, 0.0]


def test_repeating_a_good_phrase_does_not_help() -> None:
    references = [[["a", "blue", "bird"]], [["two", "cars"]]]
    once, twice = (cider_d([words, ["x"]], references)[0] for words in (["blue", "bird"], ["blue", "bird"] * 2))
    assert 0 < twice < once


def test_no_images_have_no_scores() -> None:
    assert cider_d([], []) == []


@pytest.mark.parametrize(
    ("candidates", "references"), [([["a"]], []), ([["a"]], [[]])], ids=["an image too few", "no reference"]
)
def test_images_without_their_references_are_refused(candidates: Any, references: Any) -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        cider_d(candidates, references)

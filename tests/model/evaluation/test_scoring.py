"""Scores: each kind by its own metric, means over all and by group, on the scale of papers."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from model.evaluation.case import Kind
from model.evaluation.scoring import BOTH, METRICS, Score, scores, table
from model.evaluation.targets import TARGETS
from tests.support.datasets import SETUP, answered, case

TEN = ("2",) * 3 + ("3",) * 7


def test_every_kind_is_judged_by_its_own_metric() -> None:
    asked = [
        answered(replace(case("a", "vqa10"), references=TEN), "two"),
        answered(replace(case("b", "textvqa10"), references=TEN), "2?"),
        answered(replace(case("c", "cider"), references=("a red bus",)), "A red bus."),
        answered(replace(case("d", "exact"), references=("yes",)), "no"),
        answered(replace(case("e", "colour_shape"), references=("red star", "blue star")), "A red star."),
        answered(replace(case("n", "background"), references=("none", "plain")), "A star on a noisy background."),
        answered(replace(case("f", "sign"), references=("EXIT",)), 'It says "EXIT".'),
        answered(replace(case("m", "other_sign"), references=("LIBRARY",)), "LIBRARY"),
        answered(replace(case("g", "count"), references=("3",)), "Three."),
        answered(replace(case("h", "cider"), references=("two cats",)), "One dog."),
        answered(replace(case("i", "outside"), references=("No idea.",)), " No idea."),
        answered(replace(case("j", "refused"), references=("No idea.",)), "A cat."),
        answered(replace(case("k", "several"), references=("red",)), "red"),
        answered(replace(case("l", "words"), references=("A drawing of a car.",)), "a drawing of a boat"),
        answered(replace(case("o", "things"), references=("cat", "bus")), "A cat and two mice."),
        answered(replace(case("p", "thing"), references=("bus",)), "It is a bus."),
    ]
    assert {each.case.kind for each in asked} == set(get_args(Kind))
    found = scores(asked)
    assert found == pytest.approx([90, 90, 750, 0, 50, 0, 100, 100, 100, 0, 100, 0, 100, 80, 50, 100])
    lines = table(asked)
    assert {line.metric for line in lines} == {*METRICS.values(), "word for word", BOTH}
    assert [line.score for line in lines if line.metric in ("words right", "word for word", BOTH)] == [80, 0, 40]


def test_groups_follow_the_whole_in_alphabetical_order() -> None:
    asked = [
        answered(case("a", group="shape"), "yes"),
        answered(case("b", group="colour"), "no"),
        answered(case("c", group="shape"), "no"),
        answered(case("d"), "yes"),
    ]
    assert table(asked) == [
        Score("exact match", "all", 4, 50.0),
        Score("exact match", "colour", 1, 0.0),
        Score("exact match", "shape", 2, 50.0),
    ]


def test_captions_of_a_group_are_scored_among_themselves() -> None:
    asked = [
        answered(case("a", "cider", group="in", says="a red bus stops"), "a red bus stops"),
        answered(case("b", "cider", group="out", says="a blue owl sleeps"), "a blue owl sleeps"),
        answered(case("c", "cider", group="out", says="two cars drive by"), "a cat"),
    ]
    everything, inside, outside = table(asked)
    assert everything.score == pytest.approx(2000 / 3)
    assert inside == Score("CIDEr-D", "in", 1, 0.0), "of one image every phrase is everywhere"
    assert outside.score == pytest.approx(500.0)


def test_a_scene_without_shapes_can_be_judged_and_a_question_without_answers_cannot() -> None:
    nothing = replace(case("a", "colour_shape"), references=())
    assert scores([answered(nothing, "An empty street.")]) == [100.0]
    with pytest.raises(ValueError, match="case b has no references"):
        scores([answered(replace(case("b"), references=()))])


def test_a_part_of_a_group_has_a_line_of_its_own_and_counts_for_the_group() -> None:
    asked = [
        answered(case("a", group="large / cut"), "no"),
        answered(case("b", group="large / whole"), "yes"),
        answered(case("c", group="large"), "yes"),
    ]
    found = {score.group: (score.cases, round(score.score)) for score in table(asked)}
    assert found == {"all": (3, 67), "large": (3, 67), "large / cut": (1, 0), "large / whole": (1, 100)}


@pytest.mark.parametrize(("answer", "met"), [("I see nothing.", True), ("A cat.", False)])
def test_a_line_with_a_target_tells_it_and_whether_it_is_met(answer: str, met: bool) -> None:
    group = "photographs, captions"
    asked = replace(case("a", "outside", group=group, says="I see nothing."), kind="outside")
    told = replace(answered(asked, answer), setup=replace(SETUP, dataset="outside"))
    whole, part = table([told])
    assert (whole.wanted, whole.met) == (None, None)
    assert (part.group, part.wanted, part.met) == (group, ">= 95", met)


def test_every_target_is_one_of_a_metric_there_is() -> None:
    assert {metric for _, metric, _ in TARGETS} <= set(METRICS.values())

"""VQA accuracy: both rules give what the public implementations gave, oddities included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.metrics.vqa import text_vqa_accuracy, vqa_accuracy

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden_metrics.json").read_text())["vqa"]


@pytest.mark.parametrize("case", GOLDEN, ids=[f"{index} {case['answer'][:20]!r}" for index, case in enumerate(GOLDEN)])
def test_the_scores_are_those_of_the_public_implementations(case: dict[str, Any]) -> None:
    assert vqa_accuracy(case["answer"], case["references"]) == pytest.approx(case["vqav2"], abs=1e-9)
    assert text_vqa_accuracy(case["answer"], case["references"]) == pytest.approx(case["textvqa"], abs=1e-9)


def test_the_recorded_cases_tell_the_two_rules_and_all_grades_apart() -> None:
    grades = {round(case["vqav2"], 3) for case in GOLDEN}
    assert {0.0, 0.3, 0.6, 0.9, 1.0} <= grades
    assert sum(case["vqav2"] != case["textvqa"] for case in GOLDEN) >= 10


@given(st.integers(0, 10), st.sampled_from([vqa_accuracy, text_vqa_accuracy]))
def test_leaving_each_person_out_in_turn_is_what_the_formula_says(matches: int, accuracy: Any) -> None:
    said = ["cat"] * matches + ["dog"] * (10 - matches)
    others = [said[:index] + said[index + 1 :] for index in range(10)]
    expected = sum(min(1.0, left.count("cat") / 3) for left in others) / 10
    assert accuracy("cat", said) == pytest.approx(expected)

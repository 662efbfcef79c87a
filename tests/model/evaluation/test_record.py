"""A line of a result file: nothing is lost on the way, and what is no answer is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.data.fields import DataError, Record
from model.evaluation.record import parse, read_answers
from model.evaluation.submission import NAMED_IMAGES, NUMBERED_IMAGES, QUESTIONS, submission
from tests.support.datasets import SETUP, answered, case


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    "answer",
    [
        answered(case("1")),
        answered(case("2", "cider", area=0.25, group="near-domain"), "", layer1=0.5, layer3=0.25),
        answered(replace(case("3"), references=(), instruction="")),
        replace(answered(case("4", says="é\n")), finish_reason="length"),
        answered(case("5"), setup=replace(SETUP, weights="", shrink_px=224, attention=True)),
    ],
    ids=["plain", "everything", "no reference", "cut", "other terms"],
)
def test_a_line_says_everything(answer: Any) -> None:
    again = json.loads(json.dumps(answer.line()))
    assert next(iter(again)) == "image"
    assert parse(Record("here", again)) == answer


def test_failures_are_passed_over(tmp_path: Path) -> None:
    one, other = answered(case("1")), answered(case("2"))
    (tmp_path / "a.jsonl").write_text(lines(one.line(), {"image": "2.png", "error": "broken"}, other.line()))
    assert read_answers(tmp_path / "a.jsonl") == [one, other]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "taste"}, "line 1: kind 'taste'"),
        ({"finish_reason": "tired"}, "finish_reason 'tired'"),
        ({"answer": None}, "line 1: answer: expected text"),
        ({"max_tokens": "20"}, "line 1: max_tokens: expected a whole number"),
        ({"error": "broken"}, "there is no answer in it"),
    ],
    ids=["kind", "reason", "no answer", "text for a number", "failures alone"],
)
def test_what_is_no_answer_is_named(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(answered(case("1")).line() | change))
    with pytest.raises(DataError, match=words):
        read_answers(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (QUESTIONS, {"question_id": 12, "answer": "a bus"}),
        (NUMBERED_IMAGES, {"image_id": 12, "caption": "a bus"}),
        (NAMED_IMAGES, {"image_id": "12", "caption": "a bus"}),
    ],
    ids=["questions", "numbered images", "named images"],
)
def test_a_submission_is_what_the_server_takes(form: Any, expected: dict[str, Any]) -> None:
    assert submission([answered(case("12"), " a bus\n")], form) == [expected]

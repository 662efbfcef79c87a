"""What a checkpoint says of its model: read strictly, and true of the model that is built in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model.about import About, AboutError, SamplePicture, is_outside_answer, parse_about
from model.checkpoint.about_file import read_about
from model.checkpoint.sources import EMBEDDED
from model.data.world.captions import NOTHING

WHOLE: dict[str, Any] = {
    "knows": "cats",
    "outside_answer": "I see no cat.",
    "questions": ["How many cats?"],
    "samples": [{"name": "tom", "title": "Tom", "file": "tom.jpg", "questions": ["Asleep?"]}],
}


def test_what_is_written_is_read_back() -> None:
    about = parse_about(WHOLE)
    assert about == About(
        "cats", "I see no cat.", ("How many cats?",), (SamplePicture("tom", "Tom", "tom.jpg", ("Asleep?",)),)
    )
    for each in (about, About("dogs")):
        assert parse_about(json.loads(json.dumps(each.as_json()))) == each
    assert "samples" not in About("dogs").as_json()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"knows": ""}, "knows: expected one line"),
        ({"knows": "a\x1b[2Jb"}, "knows: expected one line"),
        ({"knows": "cats\ndogs"}, "knows: expected one line"),
        ({"knows": "c" * 201}, "knows: expected one line of 1 to 200"),
        ({"knows": 3}, "knows: expected one line"),
        ({"outside_answer": " no"}, "outside_answer: expected no space"),
        ({"questions": "What?"}, "questions: expected a list"),
        ({"questions": ["What?"] * 13}, "questions: expected a list of 12 at most"),
        ({"questions": ["What?", None]}, "questions.1: expected one line"),
        ({"says": "more"}, "says: a key that is not known; known are knows, outside_answer"),
        ({"sa\nys": 1}, r"^sa\\nys: a key that is not known"),
        ({"samples": [WHOLE["samples"][0] | {"says": "more"}]}, "samples.0.says: a key that is not known"),
        ({"samples": [3]}, "samples.0: expected an object"),
        ({"samples": [{"name": "a", "title": "a", "questions": []}]}, "samples.0.file: is missing"),
        ({"samples": [WHOLE["samples"][0] | {"file": "../x"}]}, "samples.0.file: expected the name of a file"),
        ({"samples": [WHOLE["samples"][0] | {"file": ".."}]}, "samples.0.file: expected the name of a file"),
    ],
)  # fmt: skip
def test_a_field_that_is_not_as_it_should_be_is_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(AboutError, match=words):
        parse_about(WHOLE | changed)


@pytest.mark.parametrize("key", ["knows", "outside_answer", "questions"])
def test_a_missing_field_is_named(key: str) -> None:
    with pytest.raises(AboutError, match=f"{key}: is missing"):
        parse_about({name: value for name, value in WHOLE.items() if name != key})


def test_the_model_that_is_built_in_says_the_sentence_that_it_was_taught() -> None:
    about = read_about(EMBEDDED["pheye-tiny"])
    assert about is not None
    assert about.outside_answer == NOTHING
    assert "not photographs" in about.knows
    assert "What does the sign say?" in about.questions


def test_a_sentence_cut_before_its_middle_could_be_another_one() -> None:
    sentence = "".join(NOTHING.split())
    sure = [end for end in range(len(sentence) + 1) if is_outside_answer(f" {sentence[:end]} ", sentence)]
    assert sure == list(range((len(sentence) + 1) // 2, len(sentence) + 1))
    assert not is_outside_answer(NOTHING + " But", NOTHING)
    assert not is_outside_answer("", "x")

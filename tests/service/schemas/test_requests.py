"""Request fields: what is accepted, and refusals that name the field and never repeat its value."""

from __future__ import annotations

import pytest

from service.errors import InvalidField
from service.schemas.requests import MAX_SEED, CaptionRequest, SamplingFields, VqaRequest, check

ASK = {"question": "What?"}


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        pytest.param(CaptionRequest, {"lenght": "short"}, "lenght: unknown field; did you mean length", id="typo"),
        pytest.param(VqaRequest, ASK | {"reasoning": True}, "reasoning: unknown field; known are ", id="unknown"),
        pytest.param(CaptionRequest, {"settings": {"temprature": 1}}, "settings.temprature: unknown", id="nested-typo"),
        pytest.param(CaptionRequest, {"seed": 1}, "seed: unknown field; it is one of the settings", id="flat-setting"),
        pytest.param(CaptionRequest, {"length": "medium"}, "length: ", id="length"),
        pytest.param(CaptionRequest, {"style": "scene_text", "length": "long"}, "style: scene_text", id="long-scene"),
        pytest.param(CaptionRequest, {"explain": 1}, "explain: ", id="explain-as-number"),
        pytest.param(CaptionRequest, {"stream": "yes"}, "stream: ", id="stream-as-text"),
        pytest.param(CaptionRequest, {"settings": {"max_tokens": 0}}, "settings.max_tokens: ", id="no-tokens"),
        pytest.param(CaptionRequest, {"settings": {"max_tokens": 1.5}}, "settings.max_tokens: ", id="half-a-token"),
        pytest.param(CaptionRequest, {"settings": {"temperature": 2.1}}, "settings.temperature: ", id="too-hot"),
        pytest.param(CaptionRequest, {"settings": {"temperature": float("nan")}}, "settings.temperature: ", id="nan"),
        pytest.param(CaptionRequest, {"settings": {"top_p": 0}}, "settings.top_p: ", id="top-p-0"),
        pytest.param(CaptionRequest, {"settings": {"seed": MAX_SEED + 1}}, "settings.seed: ", id="seed-too-large"),
        pytest.param(CaptionRequest, {"settings": {"seed": -1}}, "settings.seed: ", id="seed-negative"),
        pytest.param(CaptionRequest, {"settings": {"stop": ""}}, "settings.stop[0]: ", id="stop-empty"),
        pytest.param(CaptionRequest, {"settings": {"stop": ["a"] * 5}}, "settings.stop: ", id="stop-five"),
        pytest.param(CaptionRequest, {"settings": []}, "settings: ", id="settings-list"),
        pytest.param(VqaRequest, {}, "question: send exactly one", id="no-question"),
        pytest.param(VqaRequest, ASK | {"questions": ["a"]}, "question: send exactly one", id="both-questions"),
        pytest.param(VqaRequest, {"questions": []}, "questions: ", id="questions-empty"),
        pytest.param(VqaRequest, {"question": "x" * 16_385}, "question: ", id="question-too-long"),
        pytest.param(VqaRequest, {"question": "\ud800"}, "question: ", id="lone-surrogate"),
        pytest.param(VqaRequest, ASK | {"answer_style": "choice"}, "choices: answer_style choice", id="no-choices"),
        pytest.param(VqaRequest, ASK | {"choices": ["a"]}, "choices: ", id="a-single-text"),
        pytest.param(VqaRequest, ASK | {"choices": ["a", "b", "a"]}, "choices: two of them are", id="twice"),
        pytest.param(
            VqaRequest, ASK | {"choices": ["a", " a\n"]}, "choices: two of them are", id="twice-but-for-space"
        ),
        pytest.param(VqaRequest, ASK | {"choices": ["a", " \x1c"]}, "choices[1]: ", id="blank-choice"),
        pytest.param(VqaRequest, ASK | {"choices": ["a", "b" * 1025]}, "choices[1]: ", id="long-choice"),
        pytest.param(VqaRequest, ASK | {"choices": ["a", 5]}, "choices[1]: ", id="choice-of-another-type"),
        pytest.param(
            VqaRequest, ASK | {"choices": [f"{i:01000}" for i in range(17)]}, "choices: together", id="long-choices"
        ),
        pytest.param(VqaRequest, ASK | {"choices": [f"{i}" for i in range(101)]}, "choices: ", id="101-texts"),
        pytest.param(VqaRequest, ASK | {"answer_style": "choice", "choices": ["a"]}, "choices: ", id="a-single-choice"),
        pytest.param(
            VqaRequest,
            ASK | {"answer_style": "choice", "choices": [f"{i}" for i in range(27)]},
            "choices: answer_style",
            id="27-letters",
        ),
    ],
)
def test_a_field_that_cannot_be_served_is_refused_by_name(kind, fields, complaint):
    with pytest.raises(InvalidField) as caught:
        check(kind, fields, strict=True)
    assert caught.value.detail.startswith(complaint)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        pytest.param(CaptionRequest, {}, id="caption"),
        pytest.param(CaptionRequest, {"style": "scene_text"}, id="scene-text"),
        pytest.param(CaptionRequest, {"explain": True, "model": None, "settings": None}, id="nulls"),
        pytest.param(
            CaptionRequest, {"settings": {"temperature": 0, "top_p": 1, "seed": MAX_SEED}}, id="whole-numbers"
        ),
        pytest.param(VqaRequest, {"question": ""}, id="empty-question"),
        pytest.param(VqaRequest, ASK | {"answer_style": "choice", "choices": ["a", "b"]}, id="choice"),
        pytest.param(VqaRequest, ASK | {"choices": ["a", "b"]}, id="choices-in-sentences"),
        pytest.param(VqaRequest, ASK | {"answer_style": "short", "choices": ["a", "aa", "A"]}, id="choices-in-words"),
    ],
)
def test_what_the_interface_promises_is_accepted(kind, fields):
    assert check(kind, fields, strict=True)


@pytest.mark.parametrize("stop", ["END", ["END"]], ids=["string", "list"])
def test_stop_is_a_string_or_a_list(stop):
    assert SamplingFields.model_validate({"stop": stop}, strict=True).stop == ["END"]


def test_text_fields_of_forms_become_numbers_and_booleans():
    assert check(CaptionRequest, {"stream": "true"}, strict=False).stream is True


def test_no_complaint_repeats_a_value_or_a_long_name():
    secret = "QUJD" * 5000
    with pytest.raises(InvalidField) as caught:
        check(VqaRequest, {"image_url": [secret], secret: 1, "question": 5, "model": {"a": secret}}, strict=True)
    assert len(caught.value.detail) < 1000
    assert secret[:80] not in caught.value.detail


def test_many_complaints_are_counted_and_not_listed():
    with pytest.raises(InvalidField, match=r"and 95 more$"):
        check(CaptionRequest, {f"field{number}": 1 for number in range(100)}, strict=True)


def test_the_answers_that_choices_allow_are_letters_or_the_texts_without_space_around_them():
    asked = ASK | {"choices": [" cat ", "a dog"]}
    assert check(VqaRequest, asked, strict=True).offered == ("cat", "a dog")
    assert check(VqaRequest, asked | {"answer_style": "choice"}, strict=True).offered == ("A", "B")
    assert check(VqaRequest, ASK, strict=True).offered == ()

"""What is asked: a function of the seed, in the proportions that were asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loadtest.mix import QUESTIONS, Mix, PlannedRequest, asks, warm_up_asks

SMALL = Mix(width_px=16, height_px=16)
MANY = 400


def share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)


def test_the_same_seed_asks_the_same_and_another_one_does_not() -> None:
    mix = replace(SMALL, hits=0.5, questions=3)
    assert asks(mix, "1", 30) == asks(mix, "1", 30)
    assert {ask.image for ask in asks(mix, "1", 30)}.isdisjoint(ask.image for ask in asks(mix, "2", 30))


def test_a_request_does_not_depend_on_how_many_there_are() -> None:
    assert asks(SMALL, "1", 30)[:10] == asks(SMALL, "1", 10)


@pytest.mark.parametrize("captions", [0.0, 0.3, 1.0])
def test_captions_have_their_share(captions: float) -> None:
    found = share([ask.path == "/v1/caption" for ask in asks(replace(SMALL, captions=captions), "1", MANY)])
    assert found == pytest.approx(captions, abs=0.08 if 0 < captions < 1 else 0)


@pytest.mark.parametrize("hits", [0.0, 0.5, 0.9, 1.0])
def test_hits_have_their_share_and_every_other_image_is_asked_about_once(hits: float) -> None:
    mix = replace(SMALL, hits=hits, hot_images=4)
    hot = {ask.image for ask in warm_up_asks(mix, "1", 0)}
    assert len(hot) == (4 if hits else 0)
    found = asks(mix, "1", MANY)
    new = [ask.image for ask in found if ask.image not in hot]
    assert len(set(new)) == len(new)
    assert share([ask.image in hot for ask in found]) == pytest.approx(hits, abs=0.08 if 0 < hits < 1 else 0)
    assert hot <= {ask.image for ask in found}


def test_every_number_of_questions_up_to_the_most_is_asked() -> None:
    found = asks(replace(SMALL, captions=0.0, questions=3), "1", MANY)
    assert {len(ask.questions) for ask in found} == {1, 2, 3}
    assert {text for ask in found for text in ask.questions} == set(QUESTIONS)


def test_warming_up_asks_about_images_that_the_load_does_not() -> None:
    warm = warm_up_asks(SMALL, "1", 3)
    assert len(warm) == 3
    assert {ask.image for ask in warm}.isdisjoint(ask.image for ask in asks(SMALL, "1", 50))


@pytest.mark.parametrize(
    ("questions", "path", "answers", "fields"),
    [
        pytest.param((), "/v1/caption", 1, {}, id="a caption"),
        pytest.param(("What?",), "/v1/vqa", 1, {"question": "What?"}, id="a question"),
        pytest.param(("What?", "Why?"), "/v1/vqa", 2, {"questions": ["What?", "Why?"]}, id="two questions"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_request_becomes_the_form_that_the_service_reads(
    questions: tuple[str, ...], path: str, answers: int, fields: dict[str, str], *, stream: bool
) -> None:
    ask = PlannedRequest(b"image", questions, stream, 7)
    form = ask.form()
    assert (ask.path, ask.answers) == (path, answers)
    assert json.loads(str(form.pop("settings"))) == {"max_tokens": 7}
    assert form == fields | ({"stream": "true"} if stream else {})

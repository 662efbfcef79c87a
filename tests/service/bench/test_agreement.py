"""What int8 does to answers: the same questions in both formats, and equal texts counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.evaluation.case import Case
from model.evaluation.record import CaseAnswer, EvaluationSetup
from service.batch.answerers.offline import engine
from service.bench import agreement
from service.bench.agreement import Agreement, compare, draw_questions, measure_agreement
from service.configuration.settings import Settings

MICRO = Settings(model="random:pheye-micro", devices="cpu", threads=1, slots=3, context_tokens=512)
SETUP = EvaluationSetup("easy-vqa", "tiny", "", 20)


def answered(*texts: str) -> list[CaseAnswer]:
    """Answers to questions whose right answer is always yes."""
    cases = [Case(str(number), Path("0.png"), "?", ("yes",), "exact") for number in range(len(texts))]
    return [CaseAnswer(case, text, "stop", SETUP) for case, text in zip(cases, texts, strict=True)]


def test_equal_texts_are_counted_and_each_format_is_judged_on_its_own() -> None:
    found = compare(answered("yes", "yes", "no", "red"), answered("yes", "Yes.", "no", "blue"), "int8")
    assert found == Agreement("tiny", "int8", questions=4, equal=2, float32_score=50.0, score=50.0)
    assert found.share == 0.5
    assert compare(answered("yes", "no"), answered("no", "no"), "int4").float32_score == 50.0
    assert compare(answered("yes", "no"), answered("no", "no"), "int4").score == 0.0


def test_answers_to_different_numbers_of_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare(answered("yes", "no"), answered("yes"), "int8")


@pytest.mark.parametrize(("equal", "met"), [(989, False), (990, True)], ids=["too few", "just enough"])
def test_ten_answers_of_a_thousand_may_change(equal: int, met: bool) -> None:
    found = Agreement("tiny", "int8", 1000, equal, 99.0, 99.0)
    assert found.met is met
    assert found.as_json()["met"] is met


def test_questions_are_drawn_by_seed_from_the_test_split() -> None:
    drawn = draw_questions(40)
    assert len({case.id for case in drawn}) == 40
    assert drawn == draw_questions(40) != draw_questions(40, seed=1)
    assert all("/test/" in str(case.image_path) for case in drawn)


def test_every_question_is_asked_in_both_formats_of_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def recording(settings: Settings, answer_options: Any) -> Callable[[Any], Any]:
        start = engine(settings, answer_options)

        def started(console: Any) -> Any:
            answerer = start(console)
            asked.append((settings.dtype, answerer.weights))
            return answerer

        return started

    monkeypatch.setattr(agreement, "engine", recording)
    cases = draw_questions(5)
    found = measure_agreement(MICRO, cases, "int4")
    assert (found.model, found.questions) == ("pheye-micro-random-weights", 5)
    assert [dtype for dtype, _ in asked] == ["float32", "int4"]
    assert len({weights for _, weights in asked}) == 1


def test_a_question_without_an_answer_ends_it_and_names_the_image(tmp_path: Path) -> None:
    (case,) = draw_questions(1)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"agreement: .*broken\.png: "):
        measure_agreement(MICRO, [replace(case, image_path=tmp_path / "broken.png")], "int8")

"""The result file of an evaluation: what is asked again, what is not, and what another run must not touch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.explain import LayerShare
from service.batch.results.appended import ResultsError
from service.batch.task import AnsweredQuestion, TaskOutcome
from service.evaluation.case_results import CaseFile, check_case_file
from service.evaluation.run import Evaluation, check_outputs
from tests.support.datasets import SETUP, case

CASES = [
    replace(case("1"), image_path=Path("a.png"), instruction="One?"),
    replace(case("2"), image_path=Path("b.png"), instruction="One?"),
    replace(case("3"), image_path=Path("a.png"), instruction="Two?"),
    replace(case("4"), image_path=Path("a.png"), instruction="One?", references=("no",)),
]


def answer_all(file: CaseFile, *, failing: str = "") -> None:
    for place, task in enumerate(file.tasks()):
        if task.image.name == failing:
            file.add(TaskOutcome(place, task, errors=("image: broken",)))
        else:
            shares = (LayerShare(1, 0.25, 0.75),)
            answers = tuple(
                AnsweredQuestion(each, f"{task.image} {each.instruction}", "stop", shares) for each in task.questions
            )
            file.add(TaskOutcome(place, task, answers))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_image_comes_once_and_the_same_words_are_asked_once(tmp_path: Path) -> None:
    with CaseFile(tmp_path / "out.jsonl", CASES, SETUP) as file:
        first, second = file.tasks()
        assert (first.image, [each.instruction for each in first.questions]) == (Path("a.png"), ["One?", "Two?"])
        assert (second.image, [each.instruction for each in second.questions]) == (Path("b.png"), ["One?"])
        assert first.questions[0].fields == {"question": "One?", "answer_style": "sentence"}
        answer_all(file)
        assert [each.answer for each in file.answers()] == ["a.png One?", "b.png One?", "a.png Two?", "a.png One?"]
        assert file.answers()[0].global_shares == {1: 0.25}
        assert file.tasks() == []
    assert [line["id"] for line in lines(tmp_path / "out.jsonl")] == ["1", "3", "4", "2"]


def test_what_is_answered_is_not_asked_again_and_what_failed_is(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES, SETUP) as file:
        answer_all(file, failing="a.png")
    with out.open("ab") as cut:
        cut.write(b'{"image": "a.png", "id": "1", "answ')
    with CaseFile(out, CASES, SETUP) as file:
        assert [task.image.name for task in file.tasks()] == ["a.png"]
        assert [each.case.id for each in file.answers()] == ["2"]
        answer_all(file)
    with CaseFile(out, CASES, SETUP) as file:
        assert file.tasks() == []
        assert [each.case.id for each in file.answers()] == ["1", "2", "3", "4"]
    assert [line.get("id") for line in lines(out)] == [None, "2", "1", "3", "4"]


def test_answers_to_cases_of_a_larger_run_stay_and_are_not_counted(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES, SETUP) as file:
        answer_all(file)
    before = out.read_bytes()
    with CaseFile(out, CASES[:2], SETUP) as file:
        assert len(file.answers()) == 2
        assert file.tasks() == []
    assert out.read_bytes() == before


def test_corrected_references_are_those_that_count(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES, SETUP) as file:
        answer_all(file)
    with CaseFile(out, [replace(each, references=("right",)) for each in CASES], SETUP) as file:
        assert {each.case.references for each in file.answers()} == {("right",)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("model", "another"), ("weights", "beef"), ("max_tokens", 64), ("shrink_px", 224)),
        *(("attention", True), ("dataset", "others"), ("precision", "int8")),
    ],
)
def test_a_file_of_other_terms_is_left_alone(name: str, value: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES, SETUP) as file:
        answer_all(file)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=f"line 1: {name} is .* there and {value!r} now; choose another file"):
        CaseFile(out, CASES, replace(SETUP, **{name: value}))
    assert out.read_bytes() == before


def test_a_service_that_does_not_tell_its_weights_may_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES, SETUP) as file:
        answer_all(file)
    with CaseFile(out, CASES, replace(SETUP, weights="", precision="")) as file:
        assert file.tasks() == []


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([replace(CASES[0], instruction="Three?")], "line 1: case 1 was about a.png or asked otherwise"),
        ([replace(CASES[0], image_path=Path("z.png"))], "line 1: case 1 was about a.png or asked otherwise"),
        ([replace(CASES[0], kind="sign")], "case 1 is judged as exact there and as sign now; .* or --kind exact"),
        ([CASES[0], CASES[0]], "two cases have the same id"),
    ],
    ids=["other words", "another image", "another kind", "one id twice"],
)
def test_cases_that_cannot_be_told_apart_are_refused(cases: Any, words: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES, SETUP) as file:
        answer_all(file)
    with pytest.raises(ValueError, match=words):
        CaseFile(out, cases, SETUP)


def test_a_file_that_another_evaluation_is_writing_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    evaluations = [Evaluation("docci", CASES, out, 9) for _ in range(2)]
    with evaluations[0].open(), pytest.raises(ResultsError, match=r"out\.jsonl: another run is writing to this file"):
        evaluations[1].open().__enter__()
    with evaluations[1].open():
        pass
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('"area": 1' + "0" * 400, "line 1: area: expected a number"),
        ('"global_shares": {"x": 1}', "line 1: global_shares: expected numbers of layers"),
        ('"area": ' + "[" * 100_000, "line 1 is not a result of this command"),
    ],
    ids=["too large", "no layer", "nested"],
)
def test_an_odd_line_is_named(change: str, words: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with CaseFile(out, CASES[:1], SETUP) as file:
        answer_all(file)
    out.write_text(json.dumps(lines(out)[0])[:-1] + f", {change}}}\n")
    with pytest.raises(ValueError, match=f"out.jsonl: {words}"):
        check_case_file(out)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    out.write_text('{"image": "a.png", "caption": "A bus."}\n')
    with pytest.raises(ValueError, match=r"captions.jsonl: line 1: kind: missing"):
        CaseFile(out, CASES, SETUP)
    assert out.read_text() == '{"image": "a.png", "caption": "A bus."}\n'


def test_a_file_of_something_else_loses_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "mine.jsonl"
    text = '{"image": "a.png", "instruction": "What?", "response": "a cat"}'
    manifest.write_text(f"{text}\n{text}")  # as editors save it that add no last line end
    with pytest.raises(ValueError, match="line 1: kind: missing"):
        check_case_file(manifest)
    assert manifest.read_text().splitlines() == [text, text]


@pytest.mark.parametrize("name", ["out.jsonl", "out.scores.json", "link.jsonl"])
def test_a_submission_does_not_take_the_place_of_the_answers(name: str, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
    with pytest.raises(ResultsError, match=f"--submission: .*{name} has the answers or the scores"):
        check_outputs(tmp_path / "out.jsonl", tmp_path / name)
    check_outputs(tmp_path / "out.jsonl", tmp_path / "other.json")


def test_a_submission_takes_the_place_of_another_one_and_of_nothing_else(tmp_path: Path) -> None:
    questions, former = tmp_path / "questions.json", tmp_path / "former.json"
    questions.write_text('{"questions": []}')
    former.write_text('[{"question_id": 1, "answer": "yes"}]')
    with pytest.raises(ResultsError, match=r"questions\.json exists and is no submission"):
        check_outputs(tmp_path / "out.jsonl", questions)
    check_outputs(tmp_path / "out.jsonl", former)

"""Result files of an evaluation: one JSON line for each case's answer, so that a run can be continued.

Owns which cases are still to be asked. The line's form is `model/evaluation/record.py`'s. Knows no engine. One thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model.data.fields import Record
from model.evaluation.case import Case
from model.evaluation.record import CaseAnswer, EvaluationSetup, parse
from service.batch.results.appended import AppendedFile, ResultsError, read_records
from service.batch.results.jsonl import ContinuedLines
from service.batch.results.records import image_fields
from service.batch.results.target import StreamedLines
from service.batch.task import AnsweredQuestion, ImagePlace, Question, Task, TaskOutcome


class CaseFile(ContinuedLines):
    """A result file; its answers are not asked for again, its failures are. A line that was cut short is taken out.

    Args:
        path: created if it is not there.
        cases: what is asked in this run; answers to other cases stay in the file and are not looked at.
        setup: under which the answers are given.
        lines: the file, if it is open already, or a stream, which is not read again.

    Raises:
        ValueError: a line is no answer, or was given under other terms or to another question.
        OSError: the file cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        cases: Sequence[Case],
        setup: EvaluationSetup,
        lines: AppendedFile | StreamedLines | None = None,
    ) -> None:
        self._cases, self._setup = cases, setup
        self._answers: dict[str, CaseAnswer] = {}
        self._cases_of: defaultdict[ImagePlace, list[Case]] = defaultdict(list)
        for case in cases:
            self._cases_of[case.image_path].append(case)
        known = {case.id: case for case in cases}
        if len(known) < len(cases):
            raise ResultsError(f"{setup.dataset}: two cases have the same id")

        def take(records: Sequence[Mapping[str, Any]]) -> None:
            for where, answer in _parsed(path, records):
                self._remember(answer, known, where)

        super().__init__(AppendedFile(path) if lines is None else lines, take)

    def _remember(self, answer: CaseAnswer, known: Mapping[str, Case], where: str) -> None:
        theirs, ours = asdict(answer.setup), asdict(self._setup)
        for name, value in theirs.items():
            unknown = name in ("weights", "precision") and not (value and ours[name])  # a service does not tell
            if value != ours[name] and not unknown:
                raise ResultsError(
                    f"{where}: {name} is {value!r} there and {ours[name]!r} now; choose another file with --jsonl"
                )
        case = known.get(answer.case.id)
        if case is None:
            return
        if _asked(case) != _asked(answer.case):
            raise ResultsError(
                f"{where}: case {case.id} was about {answer.case.image_path} or asked otherwise; "
                "choose another file with --jsonl"
            )
        if case.kind != answer.case.kind:
            raise ResultsError(
                f"{where}: case {case.id} is judged as {answer.case.kind} there and as {case.kind} now; choose another "
                f"file with --jsonl, or --kind {answer.case.kind}"
            )
        self._answers[case.id] = replace(answer, case=case)

    def tasks(self) -> list[Task]:
        """List the unanswered cases by image; equal questions about an image are asked once."""
        asked: defaultdict[Path, dict[str, Question]] = defaultdict(dict)
        for case in self._cases:
            if case.id not in self._answers:
                asked[case.image_path].setdefault(case.instruction, _question(case.instruction))
        return [Task(image, tuple(questions.values())) for image, questions in asked.items()]

    def answers(self) -> list[CaseAnswer]:
        """List the answers so far, in the order of the cases."""
        return [self._answers[case.id] for case in self._cases if case.id in self._answers]

    def add(self, outcome: TaskOutcome) -> None:
        """Write the lines of one image, and hand them to the operating system."""
        self.write(self._records_of(outcome))

    def _records_of(self, outcome: TaskOutcome) -> Iterator[dict[str, Any]]:
        said = {answer.question.instruction: answer for answer in outcome.answers}
        for case in self._cases_of[outcome.task.image]:
            if case.instruction in said and case.id not in self._answers:
                self._answers[case.id] = _answered(case, said[case.instruction], self._setup)
                yield self._answers[case.id].line()
        for error in outcome.errors:
            yield {**image_fields(outcome.task.image), "error": error}


def check_case_file(path: Path) -> None:
    """Check that a file holds answers to cases, or nothing yet, whoever gave them.

    Raises:
        ValueError: a line is no answer.
        OSError: it cannot be read.
    """
    for _ in _parsed(path, read_records(path)):
        pass


def _parsed(path: Path, records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, CaseAnswer]]:
    for number, values in enumerate(records, start=1):
        if "error" not in values:
            where = f"{path}: line {number}"
            yield where, parse(Record(where, values))


def _asked(case: Case) -> tuple[str, str]:
    return str(case.image_path), case.instruction


def _question(instruction: str) -> Question:
    """Make the question of a case, verbatim, which a service understands too."""
    return Question({"question": instruction, "answer_style": "sentence"}, instruction, "answer")


def _answered(case: Case, answer: AnsweredQuestion, setup: EvaluationSetup) -> CaseAnswer:
    shares = {each.layer: each.global_share for each in answer.shares}
    return CaseAnswer(case, answer.text, answer.finish_reason, setup, shares)

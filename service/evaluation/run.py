"""An evaluation from its cases to its table: ask, judge, and write down.

Answers come through `service.batch.run`, from an engine here or from a service; they are judged by `model.evaluation`.
Knows no command line. Main thread only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from model.evaluation.case import Case
from model.evaluation.record import CaseAnswer, EvaluationSetup
from model.evaluation.scoring import METRICS, Score, table
from model.evaluation.submission import SubmissionFormat, submission
from model.request import Sampling
from model.whole_files import write_whole
from service.batch.results.appended import AppendedFile, ResultsError
from service.batch.results.target import PARQUET, STANDARD_OUTPUT, StreamedLines, can_continue, check_writable
from service.batch.results.text import write_lines
from service.batch.run import Answerer, RunPlan
from service.batch.task import AnswerOptions
from service.evaluation.case_results import CaseFile, check_case_file

_LOOKED_AT_BYTES = 64  # of a file that a submission would replace


@dataclass(slots=True)
class Evaluation:
    """A run over the cases of a data set, greedy; `service.batch.run.carry_out` carries it out.

    Attributes:
        dataset: its name.
        cases: what is asked.
        results: the JSON Lines file.
        max_tokens: most tokens of an answer.
        shrink_px: side of the square that images are shrunk to first; 0 for as they are.
        attention: whether to record where the model looked.
        prepare: from an image's file to the file that the model gets; shrinks it.
    """

    dataset: str
    cases: Sequence[Case]
    results: Path
    max_tokens: int
    shrink_px: int = 0
    attention: bool = False
    prepare: Callable[[bytes], bytes] = bytes
    _answers: list[CaseAnswer] = field(default_factory=list, init=False)

    @property
    def answer_options(self) -> AnswerOptions:
        """The options for all of its answers."""
        return AnswerOptions(Sampling(max_tokens=self.max_tokens), explain=self.attention, prepare=self.prepare)

    @property
    def answers(self) -> list[CaseAnswer]:
        """The answers so far, in the order of the cases; empty before it was carried out."""
        return self._answers

    @property
    def resumable(self) -> bool:
        """True if the same command goes on where it was interrupted."""
        return can_continue(self.results)

    @contextmanager
    def open(self) -> Iterator[Callable[[Answerer], RunPlan]]:
        """Check the file of results; the plan is of the cases without an answer, by image.

        Raises:
            ValueError, OSError: the file of results cannot be used.
        """
        with ExitStack() as stack:
            lines: AppendedFile | StreamedLines
            if self.resumable:
                lines = stack.enter_context(closing(AppendedFile(self.results)))  # no other run's, from here on
                check_case_file(self.results)
            elif self.results == STANDARD_OUTPUT:
                lines = StreamedLines(sys.stdout.buffer)
            else:
                lines = StreamedLines(stack.enter_context(self.results.open("wb", buffering=0)))

            def plan(answerer: Answerer) -> RunPlan:
                file = stack.enter_context(CaseFile(self.results, self.cases, self._setup(answerer), lines))

                def keep() -> None:
                    self._answers = file.answers()

                stack.callback(keep)
                tasks = file.tasks()
                done = len({case.image_path for case in self.cases}) - len(tasks)
                return RunPlan(tasks, file, done, finish=file.finish)

            yield plan

    def _setup(self, answerer: Answerer) -> EvaluationSetup:
        return EvaluationSetup(
            self.dataset,
            answerer.model,
            answerer.weights,
            self.max_tokens,
            self.shrink_px,
            self.attention,
            answerer.precision,
        )


def check_outputs(results: Path, submission_file: Path | None) -> None:
    """Check what an evaluation will write when it has ended, before it begins.

    Raises:
        ResultsError: a file cannot be written; the message says what to do.
    """
    if results.suffix.lower() == PARQUET:
        raise ResultsError(
            f"{results}: an evaluation is written as JSON Lines, which other commands read; name a .jsonl"
        )
    check_writable(results)
    scores = beside(results, ".scores.json")
    if can_continue(results):
        check_writable(scores)
    if submission_file is not None:
        if results == submission_file == STANDARD_OUTPUT:
            raise ResultsError("--jsonl and --submission: only one of them can be standard output")
        if can_continue(results) and os.path.realpath(submission_file) in map(os.path.realpath, (results, scores)):
            raise ResultsError(f"--submission: {submission_file} has the answers or the scores; name another file")
        check_writable(submission_file)
        _check_replaced(submission_file)


def _check_replaced(submission_file: Path) -> None:
    """Refuse to replace a file that is no former submission, such as the data set's own questions."""
    if submission_file != STANDARD_OUTPUT and submission_file.is_file() and submission_file.stat().st_size:
        with submission_file.open("rb") as file:
            if not file.read(_LOOKED_AT_BYTES).lstrip().startswith(b"["):
                raise ResultsError(f"--submission: {submission_file} exists and is no submission; name another file")


def beside(results: Path, ending: str) -> Path:
    """Return the path of a file beside the result file.

    >>> beside(Path("runs/vqav2.jsonl"), ".scores.json").as_posix()
    'runs/vqav2.scores.json'
    """
    return results.with_name(results.name.removesuffix(".jsonl") + ending)


def report(answers: Sequence[CaseAnswer], asked: int) -> dict[str, Any]:
    """Build the report for programs.

    Args:
        answers: at least one, all under the same terms.
        asked: how many cases there were.

    Returns:
        The terms, how many cases were asked, answered and cut short, and `scores`; those are empty for cases without
        references.
    """
    judged = [each for each in answers if each.case.references or each.case.kind == "colour_shape"]
    return {
        **asdict(answers[0].setup),
        "asked": asked,
        "answered": len(answers),
        "cut_short": sum(each.finish_reason == "length" for each in answers),
        "scores": [asdict(score) for score in table(judged)],
    }


def write_report(answers: Sequence[CaseAnswer], asked: int, results: Path) -> list[Score]:
    """Write the report beside the result file, if it is a file, and return the lines of the table."""
    made = report(answers, asked)
    if can_continue(results):
        write_whole(beside(results, ".scores.json"), json.dumps(made, indent=2) + "\n")
    return [Score(**each) for each in made["scores"]]


def write_submission(answers: Sequence[CaseAnswer], form: SubmissionFormat, file: Path) -> None:
    """Write the answers as the data set's evaluation server takes them."""
    text = json.dumps(submission(answers, form), ensure_ascii=file == STANDARD_OUTPUT) + "\n"
    if file == STANDARD_OUTPUT:
        write_lines(sys.stdout.buffer, text.encode())
    else:
        write_whole(file, text)


def print_scores(scores: Sequence[Score], console: Console) -> None:
    """Print the table of scores, beside pheye-tiny's targets where it has any."""
    drawn = Table("metric", "group")
    targets = any(each.wanted for each in scores)
    for name in ("cases", "score", *(["wanted"] if targets else [])):
        drawn.add_column(name, justify="right")
    for each in scores:
        missed = " missed" if each.met is False else ""
        wanted = [f"{each.wanted or ''}{missed}"] if targets else []
        drawn.add_row(each.metric, each.group, f"{each.cases:,}", f"{each.score:.2f}", *wanted)
    console.print(drawn)
    if any(each.metric == METRICS["cider"] and each.cases == 1 for each in scores):
        console.print("CIDEr-D of a single image is 0: how rare a phrase is, is counted over images.")

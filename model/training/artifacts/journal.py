"""Metrics file of a run: one line of JSON for each step and each validation; a resumed run continues it.

Knows no tensors. Written by the main process alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from model.whole_files import naming, write_whole


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """Metrics of one optimizer step.

    Attributes:
        done: steps of the whole run, this one included.
        total: steps the whole run will have.
        stage: name of the stage.
        step: of the stage, from 1.
        loss: mean cross-entropy of an output token, in nats.
        accuracy: share of output tokens that were the likeliest continuation.
        learning_rate: that was used.
        output_tokens: of the effective batch.
        gradient_norm: before clipping.
        images_per_s: over all processes, waiting for data included.
    """

    done: int
    total: int
    stage: str
    step: int
    loss: float
    accuracy: float
    learning_rate: float
    output_tokens: int
    gradient_norm: float
    images_per_s: float


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Metrics of the held-out images after some steps.

    Attributes:
        done: steps of the whole run before it; 0 is the model that the run starts from.
        loss: mean cross-entropy of an output token, in nats.
        accuracy: share of output tokens that were the likeliest continuation.
        score: mean of the answers' scores, 0 to 1, as `metric` judges them.
        exact: share of answers that are right word for word.
        metric: exact match for short answers, words right for longer ones, or both where the data have both.
        images: that are held out.
        answers: to the instructions about them.
        seconds: that it took.
        best: whether no earlier one after training began had so low a loss: a few answers are too few to choose by.
    """

    done: int
    loss: float
    accuracy: float
    score: float
    exact: float
    metric: str
    images: int
    answers: int
    seconds: float
    best: bool = False

    def better_than(self, other: ValidationReport) -> bool:
        """Return whether the score is higher, or the loss lower where the scores are equal."""
        return (self.score, -self.loss) > (other.score, -other.loss)


Report = TrainingStep | ValidationReport
_VALIDATION = "validation"  # the key of a line that is no step


class MetricsFile:
    """Metrics file of a run, open while it is a context.

    Args:
        path: JSON lines.
        done: steps the run continues from; lines beyond it were written by a run that died and are taken out. -1 takes
            out all.
    """

    def __init__(self, path: Path, done: int) -> None:
        kept = [report for report in read_reports(path) if report.done <= done]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(map(_line, kept)))
        self._path, self._file = path, path.open("a", encoding="utf-8", buffering=1)

    def write(self, report: Report) -> None:
        """Append a step or a validation."""
        with naming(self._path):
            self._file.write(_line(report))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with naming(self._path):  # it writes what a full disk has refused before
            self._file.close()


def read_journal(path: Path) -> list[TrainingStep]:
    """Read every step of a metrics file; a line that a kill cut off is left out."""
    return [report for report in read_reports(path) if isinstance(report, TrainingStep)]


def read_validations(path: Path) -> list[ValidationReport]:
    """Read every validation of a metrics file."""
    return [report for report in read_reports(path) if isinstance(report, ValidationReport)]


def read_reports(path: Path) -> list[Report]:
    """Read every whole line of a metrics file.

    Raises:
        ValueError: a line is damaged; the message names it.
    """
    if not path.exists():
        return []
    reports: list[Report] = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if line.endswith(b"\n"):
            try:
                reports.append(_report(json.loads(line)))
            except (ValueError, TypeError, RecursionError):
                raise ValueError(f"{path}: line {number} is damaged; remove it, and go on without its step") from None
    return reports


def _report(record: dict[str, Any]) -> Report:
    return ValidationReport(**record[_VALIDATION]) if _VALIDATION in record else TrainingStep(**record)


def _line(report: Report) -> str:
    record = asdict(report)
    return json.dumps({_VALIDATION: record} if isinstance(report, ValidationReport) else record) + "\n"

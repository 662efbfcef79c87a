"""Result files of the commands: JSON Lines that can be continued, or plain text on standard output.

Owns both formats and the repair of a file whose writer was killed. Knows no engine. One thread.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from model.whole_files import naming
from service.batch.task import AnsweredQuestion, ImagePlace, Question, TaskOutcome
from service.known_world import OUTSIDE_KNOWN_WORLD

_START = b'{"image":'  # of every line of a file of results
_TOLD = frozenset(
    {"caption", "answer", "finish_reason", "confidence", "probabilities", "file", "warnings"}
)  # of a record, not asked


class ResultsError(ValueError):
    """A result file is not one of ours; the message names the line."""


class Sink(Protocol):
    """A sink of outcomes: a result file, or standard output."""

    def add(self, outcome: TaskOutcome) -> None:
        """Take one more outcome."""


class ResultFile:
    """A JSON Lines file, one line for each answer or failure, complete at every moment.

    Answers found in it are not asked for again; failures are. A line that was cut short by a kill is taken out.

    Args:
        path: created if it is not there.
        model: name of the model that answers; answers of other models do not count as done.

    Raises:
        ResultsError: some line is not a result.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._model = model
        self._done = {_identity(record) for record in read_records(path) if "error" not in record}
        self._path, self._file = path, path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, image: ImagePlace, question: Question) -> bool:
        """Say whether this model's answer is in the file."""
        return _identity({"image": str(image), **question.fields, "model": self._model}) in self._done

    def add(self, outcome: TaskOutcome) -> None:
        """Write the lines of one image, and hand them to the operating system."""
        lines = [json.dumps(record) + "\n" for record in self._records(outcome)]
        append(self._path, self._file, "".join(lines).encode())

    def _records(self, outcome: TaskOutcome) -> Iterator[dict[str, Any]]:
        image = str(outcome.task.image)
        for answer in outcome.answers:
            about = _about(outcome, answer)
            yield {"image": image, **answer.question.fields, **_said(answer), **about, "model": self._model}
        for error in outcome.errors:
            yield {"image": image, "error": error}


def _about(outcome: TaskOutcome, answer: AnsweredQuestion) -> dict[str, Any]:
    """Return what a line tells of the image's file, and what is doubtful about it or the answer."""
    if outcome.image is None:
        return {}
    outside = [OUTSIDE_KNOWN_WORLD] if answer.outside else []
    return {"file": outcome.image.model_dump(), "warnings": [*outcome.warnings, *outside]}


def _said(answer: AnsweredQuestion) -> dict[str, Any]:
    said: dict[str, Any] = {answer.question.key: answer.text, "finish_reason": answer.finish_reason}
    if answer.confidence is not None:
        said["confidence"] = answer.confidence
    if answer.probabilities:
        said["probabilities"] = list(answer.probabilities)
    return said


def append(path: Path, file: BufferedWriter, lines: bytes) -> None:
    """Write lines and hand them to the operating system.

    Raises:
        OSError: they cannot be written; what was cut short is taken out when the file is read again.
    """
    try:
        with naming(path):
            file.write(lines)
            file.flush()
    except OSError:
        file.raw.close()  # or closing the file would try once more
        raise


def _identity(record: dict[str, Any]) -> str:
    """Name the question, the image and the model of a record, without its result."""
    asked = {key: value for key, value in record.items() if key not in _TOLD}
    return json.dumps(asked, sort_keys=True)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the records of a result file, without a last line that was cut short; none if there is no file.

    Raises:
        ResultsError: some line is not a result.
        OSError: it cannot be read or written.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    *whole, torn = data.split(b"\n")
    if torn and not (torn.startswith(_START) or _START.startswith(torn)):
        raise ResultsError(f"{path}: this is not a file of results; choose another one")
    records = [_record(path, number, line) for number, line in enumerate(whole, start=1)]
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(data) - len(torn))
    return records


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "image" not in record:
        raise ResultsError(f"{path}: line {number} is not a result; choose another file or take the line out")
    return record


class Printer:
    """A sink that prints `path: text` lines in the order of the images, or the text alone if there is one answer.

    Args:
        images: whether there is more than one image, so that lines must name theirs.
        questions: likewise for questions.
    """

    def __init__(self, *, images: bool, questions: bool) -> None:
        self._images, self._questions = images, questions
        self._held: dict[int, TaskOutcome] = {}  # complete before an earlier image was
        self._next = 0

    def add(self, outcome: TaskOutcome) -> None:
        """Print an outcome as soon as everything before it is printed."""
        self._held[outcome.place] = outcome
        while self._next in self._held:
            self._print(self._held.pop(self._next))
            self._next += 1

    def _print(self, outcome: TaskOutcome) -> None:
        for answer in outcome.answers:
            labels = [shown(outcome.task.image)] if self._images else []
            labels += [str(answer.question.fields["question"])] if self._questions else []
            # Many answers take a line each; a single one keeps its own lines.
            text = " ".join(answer.text.split()) if labels else answer.text
            sys.stdout.write(": ".join([*labels, text + _chances(answer)]) + "\n")
        sys.stdout.flush()


def shown(image: ImagePlace) -> str:
    """Write a path or a URL so that any terminal can show it, even where a name is not text."""
    return str(image).encode(errors="surrogateescape").decode(errors="replace")


def _chances(answer: AnsweredQuestion) -> str:
    """Write the probability of each answer that was offered, if any was."""
    pairs = zip(answer.question.offered, answer.probabilities, strict=bool(answer.probabilities))
    told = ", ".join(f"{' '.join(offered.split())} {probability:.1%}" for offered, probability in pairs)
    return f" ({told})" if told else ""

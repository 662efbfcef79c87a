"""JSON Lines files of answers that can be continued.

Owns the reading of a file from an earlier run, the repair of one whose writer was killed, and what is written to it.
Knows no engine. One thread.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model.whole_files import naming
from service.batch.results.records import (
    SETTINGS,
    AnswerTerms,
    Record,
    asked,
    identity,
    identity_of,
    records_of,
    shown,
)
from service.batch.task import ImagePlace, Question, TaskOutcome

_START = b'{"image":'  # of every line of a file of results


class ResultsError(ValueError):
    """A result file cannot be used; the message names it, and the line if it is one's fault."""


class ResultFile:
    """A JSON Lines file, one line for each answer or failure, complete at every moment.

    Answers found in it are not asked for again; failures are, and one that fails in the same way adds no second line.
    A line that was cut short by a kill is taken out. A file that is new and still empty at the end is removed.

    Args:
        path: created if it is not there.
        records: what is in it, if that is known already.

    Raises:
        ResultsError: some line is not a result.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path, records: Iterable[Record] | None = None) -> None:
        self._path, self._terms = path, AnswerTerms("")
        self._records = list(read_records(path) if records is None else records)
        self._done = {identity(each): each.get(SETTINGS) for each in self._records if "error" not in each}
        self._failed = FailuresKnown(self._records)
        self._file = AppendedFile(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, terms: AnswerTerms) -> None:
        """Say under which terms answers will be given; before anything else is asked of the file."""
        self._terms = terms

    def has(self, image: ImagePlace, question: Question) -> bool:
        """Say whether this model's answer is in the file.

        Raises:
            ResultsError: it is, but was sampled otherwise.
        """
        key = identity_of(image, question, self._terms)
        if key not in self._done:
            return False
        theirs, ours = self._done[key], self._terms.settings
        if theirs is not None and ours:  # files before 0.2 do not tell
            differing = [f"{name} is {theirs.get(name)} there and {value} now" for name, value in ours.items()
                         if theirs.get(name) != value]  # fmt: skip
            if differing:
                raise ResultsError(
                    f"{self._path}: the answer about {shown(image)} was sampled otherwise: {', '.join(differing)}; "
                    "choose another file with --jsonl, or ask as before"
                )
        return True

    def notes(self, questions: Iterable[Question]) -> list[str]:
        """Tell in words of the answers in the file that this run does not ask for: they stay beside its own."""
        ours = {asked(question.fields) for question in questions}
        others = Counter[str]()
        for each in self._records:
            if "error" not in each and each.get("model") != self._terms.model:
                others[f"of the model {each.get('model')}"] += 1
            elif "error" not in each and asked(each) not in ours:
                others[f"to what was asked otherwise ({asked(each)})"] += 1
        return [
            f"{self._path} has {count} answer{'s' * (count > 1)} {words}; they stay, this run's are added"
            for words, count in others.most_common(3)
        ]

    def add(self, outcome: TaskOutcome) -> None:
        """Write the lines of one image, and hand them to the operating system."""
        self._file.append(self._failed.left_out(records_of(outcome, self._terms)))


class FailuresKnown:
    """The failures that a file tells of already, so that trying again does not make it grow.

    Args:
        records: of the file.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._known = {identity(each) for each in records if "error" in each}

    def left_out(self, records: Iterable[Record]) -> list[Record]:
        """Return the records without failures that are known; those that are not, are from now on."""
        kept = [each for each in records if "error" not in each or identity(each) not in self._known]
        self._known |= {identity(each) for each in kept if "error" in each}
        return kept


class AppendedFile:
    """A file that lines are appended to; created if it is not there, and removed again if it was and stays empty.

    Raises:
        OSError: it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, not path.exists()
        self._file: BufferedWriter = path.open("ab")

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records, a line each, and hand them to the operating system.

        Raises:
            OSError: they cannot be written; what was cut short is taken out when the file is read again.
        """
        try:
            with naming(self._path):
                self._file.write(json_lines(records))
                self._file.flush()
        except OSError:
            self._file.raw.close()  # or closing the file would try once more
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._new and self._path.is_file() and not self._path.stat().st_size:
            self._path.unlink()


def json_lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Write records as JSON Lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def read_records(path: Path) -> list[Record]:
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


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "image" not in record:
        raise ResultsError(f"{path}: line {number} is not a result; choose another file or take the line out")
    return record

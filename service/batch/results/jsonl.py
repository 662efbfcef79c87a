"""JSON Lines files of answers that can be continued.

Owns what of an earlier run is not asked again. The file itself is `service.batch.results.appended`'s.
Knows no engine. One thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from service.batch.results.appended import AppendedFile, ResultsError
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


class OpenLines(Protocol):
    """Lines of results that are open: a file of an earlier run, or a stream, in which there is nothing."""

    def read(self) -> list[Record]:
        """Read the records that are there."""

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records, a line each."""

    def check(self) -> None:
        """Check that what was written is there."""

    def close(self) -> None:
        """Close them, after which another run may have them."""


class ContinuedLines:
    """Lines of results that a run goes on with; a failure that they tell of already adds no second line.

    Args:
        lines: they are closed when what is in them cannot be used.
        read: their records, other than as they are.
        take: is given the records, and raises where one is no result.
    """

    def __init__(
        self, lines: OpenLines, take: Callable[[list[Record]], None], read: Callable[[], list[Record]] | None = None
    ) -> None:
        self._lines = lines
        try:
            self._records = (read or lines.read)()
            self._failed = FailuresKnown(self._records)
            take(self._records)
        except BaseException:
            lines.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, records: Iterable[Record]) -> None:
        """Write the lines of one image, and hand them to the operating system."""
        self._lines.append(self._failed.left_out(records))

    def finish(self) -> None:
        """Check that the answers are there; raises as `AppendedFile.check`."""
        self._lines.check()

    def close(self) -> None:
        """Close the file, after which another run may have it."""
        self._lines.close()


class ResultFile(ContinuedLines):
    """A JSON Lines file, one line for each answer or failure, complete at every moment.

    Answers found in it are not asked for again; failures are, and one that fails in the same way adds no second line.
    A line that was cut short by a kill is taken out. A file that is new and still empty at the end is removed.

    Args:
        path: created if it is not there.
        earlier: gives the records that a file begins with in which there is nothing yet.

    Raises:
        ResultsError: some line is not a result, or another run has the file.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path, earlier: Callable[[], list[Record]] = list) -> None:
        self._path, self._terms, self._file = path, AnswerTerms(""), AppendedFile(path)
        super().__init__(self._file, self._take, lambda: self._file.read() or self._file.fill(earlier()))

    def _take(self, records: Iterable[Record]) -> None:
        self._done = {identity(each): each.get(SETTINGS) for each in records if "error" not in each}

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
                others[f"to what was asked otherwise ({asked(each) or 'by another command'})"] += 1
        return [
            f"{self._path} has {count} answer{'s' * (count > 1)} {words}; they stay, this run's are added"
            for words, count in others.most_common(3)
        ]

    def add(self, outcome: TaskOutcome) -> None:
        """Write the lines of one image, and hand them to the operating system."""
        self.write(records_of(outcome, self._terms))

    def read_back(self) -> list[Record]:
        """Read the records that are in the file now; raises as `AppendedFile.read_back`."""
        return self._file.read_back()


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

"""Answers on a stream: text for people, JSON Lines, or one JSON object.

Knows no file that could be continued. One thread.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import BinaryIO

from model.whole_files import naming
from service.batch.results.appended import json_lines
from service.batch.results.records import AnswerTerms, records_of, shown
from service.batch.task import AnsweredQuestion, TaskOutcome

STANDARD_OUTPUT_NAME = Path("standard output")  # in what the system says of it


def write_lines(stream: BinaryIO, lines: bytes) -> None:
    """Write to a stream at once.

    Raises:
        OSError: it takes no more; the error names it.
    """
    name = getattr(stream, "name", "<stdout>")
    with naming(Path(name) if isinstance(name, str) and name != "<stdout>" else STANDARD_OUTPUT_NAME):
        stream.write(lines)
        stream.flush()


class JsonStream:
    """A sink that writes JSON Lines to a pipe, a terminal or standard output; nothing of it is read again.

    Args:
        file: where to.
        terms: of all answers.
        single: whether the one answer is a JSON document for people's eyes too, instead of a line.
    """

    def __init__(self, file: BinaryIO, terms: AnswerTerms, *, single: bool = False) -> None:
        self._file, self._terms, self._single = file, terms, single

    def add(self, outcome: TaskOutcome) -> None:
        """Write the records of one image at once.

        Raises:
            BrokenPipeError: whoever reads has gone.
        """
        records = records_of(outcome, self._terms)
        if self._single:
            lines = "".join(json.dumps(record, indent=2) + "\n" for record in records).encode()
        else:
            lines = json_lines(records)
        write_lines(self._file, lines)


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

    def flush(self) -> None:
        """Print what is held still, in order: the run has ended before an earlier image was complete."""
        for place in sorted(self._held):
            self._print(self._held.pop(place))

    def _print(self, outcome: TaskOutcome) -> None:
        for answer in outcome.answers:
            labels = [shown(outcome.task.image)] if self._images else []
            labels += [str(answer.question.fields["question"])] if self._questions else []
            # Many answers take a line each; a single one keeps its own lines.
            text = " ".join(answer.text.split()) if labels else answer.text
            with naming(STANDARD_OUTPUT_NAME):
                sys.stdout.write(": ".join([*labels, text + _chances(answer)]) + "\n")
                sys.stdout.flush()


def _chances(answer: AnsweredQuestion) -> str:
    """Write the probability of each answer that was offered, if any was."""
    pairs = zip(answer.question.offered, answer.probabilities, strict=bool(answer.probabilities))
    told = ", ".join(f"{' '.join(offered.split())} {probability:.1%}" for offered, probability in pairs)
    return f" ({told})" if told else ""

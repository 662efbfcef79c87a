"""Columns of a table of images and texts, found by their names, and what a row of them says.

Knows neither CSV nor `datasets`; both importers call it. Pure; any thread or process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.data.fields import DataError
from model.data.formats.vqav2 import most_common
from model.data.importers.importing import ImportRefused
from model.data.json_stream import MOST_DEPTH
from model.data.samples import Turn
from model.prompt import AnswerStyle, offered_answers, question_instruction

IMAGES = (
    "image",
    "image_path",
    "image_file",
    "file_name",
    "filename",
    "file",
    "path",
    "img",
    "picture",
    "photo",
    "name",
)
QUESTIONS = ("instruction", "question", "prompt", "query", "input")
ANSWERS = ("response", "answer", "multiple_choice_answer", "answers", "output", "target", "label", "correct_choice_idx")
CHOICES = "choices"  # of a row whose answer is the place of one, from 0
CAPTIONS = (
    "caption", "captions", "text", "caption_str", "description", "comment", "sentence", "sentences", "title",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Names of columns as the user gives them; None finds a usual name."""

    image: str | None = None
    question: str | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Columns of a table.

    Attributes:
        image: of the image or of its path.
        question: None where every response is a caption.
        response: of the response, or of several.
    """

    image: str
    question: str | None
    response: str


def find_columns(present: Sequence[str], wanted: ColumnNames, where: str) -> TableColumns:
    """Find the columns in a table.

    Args:
        present: the names that the table has.
        wanted: those that the user gave, which must be there.
        where: the table, for messages.

    Raises:
        ImportRefused: there is none for the image or the response; the message lists those that there are.
    """
    for flag, name in (("--image", wanted.image), ("--question", wanted.question), ("--response", wanted.response)):
        if name is not None and name not in present:
            raise ImportRefused(f"{where}: {flag}: there is no column {name!r}; there are {_listed(present)}")
    left = [name for name in present if name not in (wanted.image, wanted.question, wanted.response)]
    image = wanted.image or _first(IMAGES, left)
    question = wanted.question or _first(QUESTIONS, [name for name in left if name != image])
    usual = (*ANSWERS, *CAPTIONS) if question else (*CAPTIONS, *ANSWERS)
    response = wanted.response or _first(usual, [name for name in left if name not in (image, question)])
    for flag, found in (("--image", image), ("--response", response)):
        if found is None:
            raise ImportRefused(
                f"{where}: which column has the {flag.removeprefix('--')}? Name it by {flag}; there are "
                f"{_listed(present)}"
            )
    assert image is not None
    assert response is not None
    return TableColumns(image, question, response)


def row_turns(row: Mapping[str, Any], columns: TableColumns, instruction: str, style: AnswerStyle) -> tuple[Turn, ...]:
    """Return the turns of a row: one, or one for each of several captions.

    Args:
        row: values by column.
        columns: which ones matter.
        instruction: what a caption answers.
        style: the response formatting prompt of a question.

    Raises:
        DataError: a value is no text.
    """
    given = row.get(columns.response)
    said = _texts(given, columns.response)
    if columns.question is None:
        return tuple(Turn(instruction, text) for text in said)
    question = _texts(row.get(columns.question), columns.question)
    if len(question) != 1:
        raise DataError(f"row with several texts in {columns.question}")
    asked, choices = question[0].strip(), row.get(CHOICES)
    if isinstance(given, int) and isinstance(choices, list):
        return (_chosen(asked, [str(choice) for choice in choices], given),)
    return (Turn(question_instruction(asked, style) if asked else "", most_common(said)),)


def _chosen(question: str, choices: Sequence[str], right: int) -> Turn:
    """Return the turn of a question with choices, as A-OKVQA and ScienceQA have them."""
    letters = offered_answers("choice", choices)
    if not 0 <= right < len(letters):
        raise DataError("row whose right answer is not among its choices")
    return Turn(question_instruction(question, "choice", choices), letters[right])


def _texts(value: Any, column: str, depth: int = 0) -> tuple[str, ...]:
    """Return the texts that a cell holds; numbers are written out."""
    if depth > MOST_DEPTH:
        raise DataError(f"row with lists and objects too deep in each other in {column}")
    if isinstance(value, list) and value:
        return tuple(text for each in value for text in _texts(each, column, depth + 1))
    if isinstance(value, Mapping) and "answer" in value:  # as in VQAv2
        return _texts(value["answer"], column, depth + 1)
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"row with a number that is not finite in {column}")
    if isinstance(value, str | int | float):
        return (str(value),)
    raise DataError(f"row with no text in {column}")


def _first(usual: Sequence[str], present: Sequence[str]) -> str | None:
    """Return the first usual name that a column has, in any case and with spaces or dashes."""
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in reversed(present)}
    return next((plain[name] for name in usual if name in plain), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"

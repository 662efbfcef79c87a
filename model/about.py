"""Description of a model for people: the world it knows, its fixed answer for pictures outside it, questions for it.

The content of `about.json` in a checkpoint's folder, checked strictly. Reads no file and knows no tensors, since the
API process needs it too (`model/checkpoint/about_file.py` reads it). Pure; any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_CHARS = 200  # of every line
MAX_QUESTIONS = 12
MAX_SAMPLES = 12
_KEYS = ("knows", "outside_answer", "questions", "samples")
_SAMPLE_KEYS = ("name", "title", "file", "questions")


class AboutError(ValueError):
    """Content of an `about.json` that is not what it should be; the message names the field."""


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """Picture that a model answers well: its name, a title, its file's name beside `about.json`, questions about it."""

    name: str
    title: str
    file: str
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class About:
    """Description that a checkpoint has of its own model.

    Attributes:
        knows: one line about the pictures it was made for.
        outside_answer: the sentence with which it answers about any other picture; None if it has none.
        questions: questions it can answer, as suggestions.
        samples: pictures it answers well.
    """

    knows: str
    outside_answer: str | None = None
    questions: tuple[str, ...] = ()
    samples: tuple[SamplePicture, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the content of `about.json`; `parse_about` reads it back."""
        told = asdict(self)
        return told if self.samples else {key: value for key, value in told.items() if key != "samples"}


def is_outside_answer(text: str, outside_answer: str | None) -> bool:
    """Return whether an answer is the sentence for pictures outside the model's world, or was cut in its second half.

    Args:
        text: the answer; spaces around it do not count.
        outside_answer: the sentence; None if the model has none, and then no answer is.

    >>> [is_outside_answer(text, "I do not know.") for text in (" I do not know.", "I do not k", "I do", "I do know.")]
    [True, True, False, False]
    """
    said = text.strip()
    return outside_answer is not None and outside_answer.startswith(said) and 2 * len(said) >= len(outside_answer)


def parse_about(values: Mapping[str, Any]) -> About:
    """Check the content of an `about.json`.

    Raises:
        AboutError: a key is missing or unknown, or a value is not what it should be.
    """
    _check_keys(values, _KEYS, required=("knows", "outside_answer", "questions"), where="")
    said = values["outside_answer"]
    return About(
        _line(values["knows"], "knows"),
        None if said is None else _line(said, "outside_answer"),
        _lines(values["questions"], "questions", MAX_QUESTIONS),
        tuple(
            _sample(each, f"samples.{index}")
            for index, each in enumerate(_list(values.get("samples", []), "samples", MAX_SAMPLES))
        ),
    )


def _sample(values: object, where: str) -> SamplePicture:
    if not isinstance(values, dict):
        raise AboutError(f"{where}: expected an object")
    _check_keys(values, _SAMPLE_KEYS, required=_SAMPLE_KEYS, where=f"{where}.")
    name, title, file = (_line(values[key], f"{where}.{key}") for key in ("name", "title", "file"))
    if file in (".", "..") or set(file) & set("/\\:"):
        raise AboutError(f"{where}.file: expected the name of a file in the same folder")
    return SamplePicture(name, title, file, _lines(values["questions"], f"{where}.questions", MAX_QUESTIONS))


def _check_keys(values: Mapping[str, Any], known: tuple[str, ...], required: tuple[str, ...], where: str) -> None:
    missing = [key for key in required if key not in values]
    if missing:
        raise AboutError(f"{where}{missing[0]}: is missing")
    extra = [key for key in values if key not in known]
    if extra:
        raise AboutError(f"{where}{_shown(extra[0])}: a key that is not known; known are {', '.join(known)}")


def _shown(key: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in key[:MAX_CHARS])


def _list(value: object, where: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise AboutError(f"{where}: expected a list of {most} at most")
    return value


def _lines(value: object, where: str, most: int) -> tuple[str, ...]:
    return tuple(_line(each, f"{where}.{index}") for index, each in enumerate(_list(value, where, most)))


def _line(value: object, where: str) -> str:
    """Check text of one line: it is shown on terminals and pages."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_CHARS:
        raise AboutError(f"{where}: expected one line of 1 to {MAX_CHARS} printable characters")
    if value != value.strip():
        raise AboutError(f"{where}: expected no space at its ends")
    return value

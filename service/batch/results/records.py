"""One answer or failure as a JSON object: what is written, and what identifies a question when a file is continued.

Owns the fields and the spelling of odd file names. Knows no file of results. Pure; safe from any thread.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from service.batch.task import AnsweredQuestion, ImagePlace, Question, TaskOutcome
from service.known_world import OUTSIDE_KNOWN_WORLD

SETTINGS = "settings"
_ASKED = ("length", "style", "question", "answer_style", "choices")  # of a record; everything else was told
_IDENTITY = frozenset({"image", "image_base64", *_ASKED, "model", "error"})

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerTerms:
    """The terms under which all answers of a run are given.

    Attributes:
        model: name of the model that answers.
        settings: how answers are sampled; written with each, so that a run continues under the same only.
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def is_record(value: object) -> TypeGuard[Record]:
    """Say whether something that was read is a record: its fields are of the right kinds, others are flat.

    >>> is_record({"image": "a.png", "error": "broken"}), is_record({"image": 5}), is_record({"image": "a", "file": 1})
    (True, False, False)
    """
    if not isinstance(value, dict) or "image" not in value:
        return False
    return all(_KINDS.get(name, _is_flat)(field) for name, field in value.items())


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_flat(value: object) -> bool:
    """Say whether a field may be one of another command's: what is deeply nested is nobody's."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
    return all(map(_is_scalar, inner))


def _is_object(value: object) -> bool:
    stop = value.get("stop", []) if isinstance(value, dict) else None
    return (
        isinstance(value, dict) and _are_texts(stop) and all(_is_scalar(value[key]) for key in value.keys() - {"stop"})
    )


_KINDS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("image", "image_base64", "length", "style", "question", "answer_style"), _is_text),
    **dict.fromkeys(("caption", "answer", "finish_reason", "model", "error"), _is_text),
    **dict.fromkeys(("choices", "warnings"), _are_texts),
    **dict.fromkeys(("file", SETTINGS), _is_object),
    "confidence": _is_number,
    "probabilities": _are_numbers,
}


def records_of(outcome: TaskOutcome, terms: AnswerTerms) -> Iterator[Record]:
    """Make a record of each answer and of each failure of one image."""
    image = image_fields(outcome.task.image)
    settings = {SETTINGS: dict(terms.settings)} if terms.settings else {}
    for answer in outcome.answers:
        yield {
            **image,
            **answer.question.fields,
            **_said(answer),
            **_about(outcome, answer),
            "model": terms.model,
            **settings,
        }
    for error in outcome.errors:
        yield {**image, "error": error}


def _about(outcome: TaskOutcome, answer: AnsweredQuestion) -> Record:
    """Return what a record tells of the image's file, and what is doubtful about it or the answer."""
    if outcome.image is None:
        return {}
    outside = [OUTSIDE_KNOWN_WORLD] if answer.outside else []
    return {"file": outcome.image.model_dump(), "warnings": [*outcome.warnings, *outside]}


def _said(answer: AnsweredQuestion) -> Record:
    said: Record = {answer.question.key: answer.text, "finish_reason": answer.finish_reason}
    if answer.confidence is not None:
        said["confidence"] = answer.confidence
    if answer.probabilities:
        said["probabilities"] = list(answer.probabilities)
    return said


def image_fields(image: ImagePlace | str) -> Record:
    r"""Name an image in a record.

    A name that is not UTF-8 has no spelling in JSON: `image` shows it, and `image_base64` has its bytes.

    >>> import os; from pathlib import Path
    >>> image_fields(Path("a.png")), image_fields(Path(os.fsdecode(b"caf\xe9.png")))["image_base64"]
    ({'image': 'a.png'}, 'Y2Fm6S5wbmc=')
    """
    name = str(image)
    exact = name.encode("utf-8", "surrogateescape")
    readable = exact.decode("utf-8", "replace")
    if readable == name:
        return {"image": name}
    return {"image": readable, "image_base64": base64.b64encode(exact).decode("ascii")}


def identity(record: Mapping[str, Any]) -> str:
    """Name the question, the image and the model of a record, without its result.

    What somebody else has added to a line, such as a note, is no part of it, and stays in its file.

    >>> identity({"image": "a.png", "caption": "A bus.", "note": "check", "model": "m"})
    '{"image": "a.png", "model": "m"}'
    """
    return json.dumps({key: value for key, value in record.items() if key in _IDENTITY}, sort_keys=True)


def identity_of(image: ImagePlace, question: Question, terms: AnswerTerms) -> str:
    """Return the identity that the record of an answer has."""
    return identity({**image_fields(image), **question.fields, "model": terms.model})


def asked(record: Mapping[str, Any]) -> str:
    """Tell in words what was asked, whatever the image and the model; of another command's answers nothing.

    >>> asked({"image": "a.png", "length": "short", "style": "plain", "caption": "A bus.", "model": "m"})
    'length short, style plain'
    """
    fields = ((key, value) for key, value in record.items() if key in _ASKED)
    return ", ".join(f"{key} {value}" for key, value in fields)


def shown(image: ImagePlace | str) -> str:
    r"""Write a path or a URL so that it stays on its line in any terminal, even where a name is not text.

    >>> shown("a\nb.png"), shown("caf\udce9.png")
    ('a\\nb.png', 'caf�.png')
    """
    text = str(image).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

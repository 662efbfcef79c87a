"""One answer or failure as a JSON object: what is written, and what identifies a question when a file is continued.

Owns the fields and the spelling of odd file names. Knows no file of results. Pure; safe from any thread.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.batch.task import AnsweredQuestion, ImagePlace, Question, TaskOutcome
from service.known_world import OUTSIDE_KNOWN_WORLD

SETTINGS = "settings"
_TOLD = frozenset(
    {
        "caption",
        "answer",
        "finish_reason",
        "confidence",
        "probabilities",
        "file",
        "warnings",
        SETTINGS,
    }
)  # fmt: skip - of a record, not asked
_ABOUT = frozenset({"image", "image_base64", "model"})

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


def image_fields(image: ImagePlace) -> Record:
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
    """Name the question, the image and the model of a record, without its result."""
    return json.dumps({key: value for key, value in record.items() if key not in _TOLD}, sort_keys=True)


def identity_of(image: ImagePlace, question: Question, terms: AnswerTerms) -> str:
    """Return the identity that the record of an answer has."""
    return identity({**image_fields(image), **question.fields, "model": terms.model})


def asked(record: Mapping[str, Any]) -> str:
    """Tell in words what was asked, whatever the image and the model.

    >>> asked({"image": "a.png", "length": "short", "style": "plain", "caption": "A bus.", "model": "m"})
    'length short, style plain'
    """
    fields = ((key, value) for key, value in record.items() if key not in _TOLD | _ABOUT)
    return ", ".join(f"{key} {value}" for key, value in fields)


def shown(image: ImagePlace | str) -> str:
    r"""Write a path or a URL so that it stays on its line in any terminal, even where a name is not text.

    >>> shown("a\nb.png"), shown("caf\udce9.png")
    ('a\\nb.png', 'caf�.png')
    """
    text = str(image).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

"""Exact-match metrics for answers that are right or wrong: a word, a sign's text, a number, coloured shapes.

The model may answer in a word or in a sentence; what counts is what it says, and saying more than one thing where one
is asked for is wrong. Pure; any thread or process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from model.data.world.scene import COLOURS, SHAPES

_COUNTED = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_COUNTED.split())} | dict.fromkeys(
    ("no", "none", "nothing"), "0"
)
_NUMBER = re.compile(rf"\b(?:\d+|{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_QUOTED = re.compile(r"[\"\u201c\u201d]([^\"\u201c\u201d]*)[\"\u201c\u201d]")
_BACKGROUND = re.compile(r"\bon an? (\w+) background\b", re.IGNORECASE)
NO_BACKGROUND = "none"  # the reference of a caption that may leave it out
_OBJECT = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})(?:e?s)?\b", re.IGNORECASE)


def exact_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the answer is one of the references, but for case, spaces around it and a full stop, else 0.

    >>> exact_match(" Red.", ["red"]), exact_match("it is red", ["red"])
    (1.0, 0.0)
    """
    return float(_plain(answer) in {_plain(each) for each in references})


def same_sentence(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the answer is one of the references, letter by letter but for spaces at its ends, else 0.

    >>> same_sentence(" I do not know. ", ["I do not know."]), same_sentence("I do not know", ["I do not know."])
    (1.0, 0.0)
    """
    return float(answer.strip() in references)


def sign_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the text of the sign is read exactly, letter case included, else 0.

    The text is what stands in quotation marks, or else the answer itself.

    >>> sign_match('The sign says "EXIT".', ["EXIT"]), sign_match("EXIT", ["EXIT"]), sign_match('"EXIT 2"', ["EXIT"])
    (1.0, 1.0, 0.0)
    """
    quoted = _QUOTED.findall(answer)
    said = {" ".join(each.split()) for each in quoted or [answer.strip().rstrip(".")]}
    return float(len(said) == 1 and said <= set(references))


def count_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the only number in the answer, as digits or as a word, is one of the references, else 0.

    >>> count_match("There are three shapes.", ["3"]), count_match("3 or 4", ["3"]), count_match("no", ["0"])
    (1.0, 0.0, 1.0)
    """
    said = _numbers(answer)
    return float(len(said) == 1 and said <= {number for each in references for number in _numbers(each)})


def colour_shape_match(answer: str, references: Sequence[str]) -> float:
    """Return the share of coloured shapes named rightly, over the larger of those there and those named.

    So both what is left out and what is made up costs. A scene without shapes is right if no shape is named.

    Args:
        answer: the caption.
        references: every shape of the scene as its colour and kind, one each: `red circle`, `red circle`, `blue star`.

    >>> colour_shape_match("A red circle and a blue star.", ["red circle", "green star"])
    0.5
    """
    there = Counter(each.lower() for each in references)
    named = Counter(f"{colour} {shape}".lower() for colour, shape in _OBJECT.findall(answer))
    return (there & named).total() / max(there.total(), named.total()) if there or named else 1.0


def background_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the kind of background that a caption names is one of the references, else 0.

    A caption that names none says `NO_BACKGROUND`.

    >>> background_match("It shows a star on a noisy background.", ["noisy"]), background_match("A star.", ["noisy"])
    (1.0, 0.0)
    """
    named = _BACKGROUND.search(answer)
    return float((named[1].lower() if named else NO_BACKGROUND) in references)


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()


def _numbers(text: str) -> set[str]:
    found = (number.lower() for number in _NUMBER.findall(text))
    return {_NUMBER_WORDS.get(number, number.lstrip("0") or "0") for number in found}

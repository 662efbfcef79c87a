"""Texts on the signs of the synthetic world: letters and digits, words now and then. Pure."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from model.data.world.words import LONG_SIGN_WORDS, SIGN_WORDS

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "123456789"  # no zero among letters: half of the fonts draw it as the letter O
_LONG = 0.12  # share of varied texts of seven letters or more
_NUMBERS = 0.12  # share of varied texts that are numbers with all ten digits
_LOWER = 0.2  # share of varied texts in lower case
_LOWER_LETTERS = LETTERS.lower()
_UNLIKE_CAPITALS = frozenset("abdefghijmnqrty")  # lower-case letters that no capital is a larger copy of

SignTexts = Callable[[Random], str]


def sign_text(rng: Random) -> str:
    """Draw two to six letters or digits: a word now and then, most often none."""
    if rng.random() < 0.25:
        return rng.choice(SIGN_WORDS)
    alphabet = rng.choice((LETTERS, LETTERS, DIGITS, LETTERS + DIGITS))
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 6)))


def varied_sign_text(rng: Random) -> str:
    """Draw a text as `sign_text` does, but now and then a longer one, a number with zeros, or one in lower case."""
    kind = rng.random()
    if kind < _LONG:
        return long_sign_text(rng)
    if kind < _LONG + _NUMBERS:
        return number(rng)
    return lower_case(rng) if kind < _LONG + _NUMBERS + _LOWER else sign_text(rng)


def long_sign_text(rng: Random) -> str:
    """Draw a word of seven to ten letters, or as often seven to nine letters that are none."""
    if rng.random() < 0.5:
        return rng.choice(LONG_SIGN_WORDS)
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(7, 9)))


def number(rng: Random) -> str:
    """Draw a number of two to six digits, at least one of which is a zero."""
    digits = [rng.choice(DIGITS + "0") for _ in range(rng.randint(2, 6))]
    digits[rng.randrange(len(digits))] = "0"
    return "".join(digits)


def lower_case(rng: Random) -> str:
    """Draw a word in lower case, half of them with a capital in front, or as often three to six letters that are none.

    At least one letter cannot be taken for its capital, as `o` can for `O` where nothing beside it shows its size.
    """
    word = rng.random() < 0.5
    while True:
        text = rng.choice(SIGN_WORDS + LONG_SIGN_WORDS).lower() if word else _lower_letters(rng)
        if not _UNLIKE_CAPITALS.isdisjoint(text[1:]):
            return text.capitalize() if word and rng.random() < 0.5 else text


def _lower_letters(rng: Random) -> str:
    return "".join(rng.choice(_LOWER_LETTERS) for _ in range(rng.randint(3, 6)))

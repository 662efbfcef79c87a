"""Texts on the signs of the synthetic world: letters and digits, words now and then. Pure."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from model.data.world.words import LONG_SIGN_WORDS, SIGN_WORDS

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "123456789"  # no zero among letters: half of the fonts draw it as the letter O
_LONG = 0.12  # share of varied texts of seven letters or more
_NUMBERS = 0.12  # share of varied texts that are numbers with all ten digits

SignTexts = Callable[[Random], str]


def sign_text(rng: Random) -> str:
    """Draw two to six letters or digits: a word now and then, most often none."""
    if rng.random() < 0.25:
        return rng.choice(SIGN_WORDS)
    alphabet = rng.choice((LETTERS, LETTERS, DIGITS, LETTERS + DIGITS))
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 6)))


def varied_sign_text(rng: Random) -> str:
    """Draw a text as `sign_text` does, but now and then a longer one, or a number with zeros."""
    kind = rng.random()
    if kind < _LONG:
        return long_sign_text(rng)
    return number(rng) if kind < _LONG + _NUMBERS else sign_text(rng)


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

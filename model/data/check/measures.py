"""Measures of a manifest's texts: quantiles, response formats, scripts, and how a tokenizer takes them.

Pure; any thread or process.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from model.prompt import CAPTIONS, CHOICE_ANSWER, SCENE_TEXT_CAPTION, SHORT_ANSWER

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Limits of the model that a manifest is for.

    Attributes:
        model: its name.
        encode: its tokenizer.
        context_tokens: instruction and response together, at most.
        answer_tokens: an answer when it is served, at most.
        fewest: tokens that a text takes at least, from its length alone; what has too many is not encoded.
    """

    model: str
    encode: Encode
    context_tokens: int
    answer_tokens: int
    fewest: Callable[[str], int]

    def surely_longer(self, instruction: str, response: str) -> int:
        """Return a number of tokens that a line has more of, where its length alone says it is too long; or 0."""
        fewest = self.fewest(instruction) + self.fewest(response)
        return fewest - 1 if fewest > self.context_tokens else 0


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of some numbers: the least, the middle, what 95 of 100 are at most, the greatest."""

    least: int
    median: int
    p95: int
    most: int


def quantiles(numbers: Sequence[int]) -> Quantiles | None:
    """Return the quantiles of some numbers; None for none.

    >>> quantiles([3, 1, 2])
    Quantiles(least=1, median=2, p95=3, most=3)
    """
    if not numbers:
        return None
    order = sorted(numbers)
    last = len(order) - 1
    return Quantiles(order[0], order[last // 2], order[round(last * 0.95)], order[last])


def response_format(instruction: str) -> str:
    r"""Return the name of the response format that an instruction asks for.

    >>> response_format("What is it?\nAnswer the question using a single word or phrase")
    'word or phrase'
    """
    last = instruction.rpartition("\n")[2]
    if last == SHORT_ANSWER:
        return "word or phrase"
    if last == CHOICE_ANSWER:
        return "letter of a choice"
    if instruction == SCENE_TEXT_CAPTION:
        return "caption with the text in the image"
    named = next((length for length, text in CAPTIONS.items() if text == instruction), None)
    return f"{named} caption" if named else "free"


def nearly_a_prompt(instruction: str) -> str:
    """Return the response formatting prompt that an instruction says in other words; nothing if it has none or it."""
    last = instruction.rpartition("\n")[2]
    for prompt in (SHORT_ANSWER, CHOICE_ANSWER, SCENE_TEXT_CAPTION, *CAPTIONS.values()):
        if last != prompt and _bare(last) == _bare(prompt):
            return prompt
    return ""


def _bare(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalpha())


@dataclass(slots=True)
class ScriptCount:
    """Count of the letters of one script.

    Attributes:
        where: the first place that has them.
        letters: how many there are.
        measured: those of them that a tokenizer was tried on.
        tokens: that these take.
    """

    where: str
    letters: int = 0
    measured: int = 0
    tokens: int = 0

    @property
    def tokens_a_letter(self) -> float:
        """Tokens that a letter takes; 0 if nobody tried."""
        return self.tokens / self.measured if self.measured else 0.0


@dataclass(slots=True)
class Scripts:
    """Scripts of the letters beside plain Latin ones, and symbols such as emoji, as a tokenizer takes them.

    Attributes:
        plain: characters of the texts that are ASCII.
        found: by name of the script.
    """

    plain: ScriptCount = field(default_factory=lambda: ScriptCount(""))
    found: dict[str, ScriptCount] = field(default_factory=dict)

    def add(self, text: str, where: str, encode: Encode | None) -> None:
        """Count the characters of a text; with `encode` also the tokens they take."""
        if text.isascii():
            _count(self.plain, text, encode)
            return
        for script, part in _parts(text):
            _count(self.found.setdefault(script, ScriptCount(where)), part, encode)


def _count(counted: ScriptCount, text: str, encode: Encode | None) -> None:
    counted.letters += len(text)
    if encode is not None:
        counted.measured += len(text)
        counted.tokens += len(encode(text))


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Return the parts of a text that are of one script; what stands in every script is left out."""
    for script, characters in groupby(text, _script):
        if script:
            yield script, "".join(characters)


def _script(character: str) -> str:
    if character.isascii():
        return ""
    category = unicodedata.category(character)
    if category[0] == "L":
        name = unicodedata.name(character, "unnamed").partition(" ")[0]
        return name if len(name) <= len("CJK") else name.capitalize()
    return "symbols" if category == "So" else ""


def counted_by_format(instructions: Counter[str]) -> dict[str, int]:
    """Return the number of lines of each response format, the most frequent first."""
    formats: defaultdict[str, int] = defaultdict(int)
    for instruction, count in instructions.items():
        formats[response_format(instruction)] += count
    return dict(sorted(formats.items(), key=lambda item: -item[1]))

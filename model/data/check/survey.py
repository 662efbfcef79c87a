"""Survey of a manifest: every line read, every image looked at, and the numbers of both.

Stops at nothing: it finds what training would stop at, and what is probably not meant. Knows no tensors. One thread.
"""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from model.data.check.findings import ManifestFindings
from model.data.check.measures import (
    ModelLimits,
    Quantiles,
    Scripts,
    counted_by_format,
    nearly_a_prompt,
    quantiles,
    response_format,
)
from model.data.manifest import UNREADABLE, Line, ManifestError, manifest_lines
from model.prompt import render

CROWDED_LINES, CROWDED_TIMES = 20, 20  # an image has so many lines, and so many times as many as the usual one
_BRIEF_WORDS = 3
_WORD_LETTERS = 15  # what is longer may be a sentence of a script without spaces
_SPELLED_OUT = 1.0  # tokens a letter from which on a tokenizer knows no words of a script
_PLAIN_SPELLED_OUT = 0.6  # and of plain English, of which a good one takes about 0.25
_MEASURED = 10_000  # lines of which all tokens are counted, and of the others one in
_MEASURED_EVERY = 50
_FEW_LETTERS = 10  # a name in another script is no matter

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class ManifestSurvey:
    """Survey of a manifest.

    Attributes:
        findings: what is wrong.
        lines: that can be used.
        images: of these.
        turns: of an image.
        words: of a response.
        tokens: of a response; None without a model. Of a large manifest from a part of the lines.
        context: tokens of instruction and response together, likewise.
        pixels: of an image.
        formats: lines of each response format.
        scripts: of the texts.
        decoded: images that were decoded to the end; of the others only the head was read.
        samples: some lines, drawn at random.
    """

    scripts: Scripts = field(default_factory=Scripts)
    findings: ManifestFindings = field(default_factory=ManifestFindings)
    lines: int = 0
    images: int = 0
    turns: Quantiles | None = None
    words: Quantiles | None = None
    tokens: Quantiles | None = None
    context: Quantiles | None = None
    pixels: Quantiles | None = None
    formats: dict[str, int] = field(default_factory=dict)
    decoded: int = 0
    samples: list[Line] = field(default_factory=list)


class _Reading:
    """Reading of the lines: what has to be remembered of them until the end."""

    def __init__(self, path: Path, limits: ModelLimits | None, samples: int) -> None:
        self._folder, self._limits, self._wanted = path.parent, limits, samples
        self._chance = random.Random(0)  # noqa: S311 - repeatable, not secret
        self.result = ManifestSurvey()
        self.images: dict[str, tuple[int, int]] = {}  # -> its first line, and how many
        self._absent: set[str] = set()
        self._said: dict[tuple[str, str], tuple[int, dict[int, int]]] = {}  # -> first line, responses and their lines
        self._instructions: Counter[str] = Counter()
        self._words: list[int] = []
        self._tokens: list[int] = []
        self._context: list[int] = []
        self._brief = 0

    def take(self, number: int, line: Line | ManifestError) -> None:
        """Look at one line."""
        if isinstance(line, ManifestError):
            self.result.findings.error("line that is not as it should be", f"line {number}: {line}")
            return
        self._look_at_image(number, line)
        self._look_for_repetition(number, line)
        self._look_at_texts(number, line)
        self._measure(number, line)
        self.result.lines += 1
        self._draw(line)

    def _look_at_image(self, number: int, line: Line) -> None:
        first, count = self.images.get(line.image, (number, 0))
        if not count and not os.path.isfile(self._folder / line.image):
            self._absent.add(line.image)
        if line.image in self._absent:
            self.result.findings.error("image file missing", f"line {number}: image: {line.image}")
        self.images[line.image] = (first, count + 1)

    def _look_for_repetition(self, number: int, line: Line) -> None:
        first, said = self._said.setdefault((line.image, line.instruction), (number, {}))
        response = hash(line.response)
        findings = self.result.findings
        if response in said:
            findings.warning("line that is there twice", f"lines {said[response]} and {number}")
        elif said and _wants_one_answer(line):
            findings.warning("same question with two answers", f"lines {first} and {number}: {_short(line.response)}")
        said.setdefault(response, number)

    def _look_at_texts(self, number: int, line: Line) -> None:
        findings = self.result.findings
        for name, text in (("instruction", line.instruction), ("response", line.response)):
            if text != text.strip():
                findings.warning("spaces around a text, which are learned too", f"line {number}: {name}")
        if "<image>" in line.instruction or "<image>" in line.response:
            findings.warning("<image> in a text; the model gets the image in another way", f"line {number}")
        if prompt := nearly_a_prompt(line.instruction):
            self._brief -= _is_brief(line)
            what = f"response formatting prompt in other words than the model's ({prompt})"
            findings.warning(what, f"line {number}: {_short(line.instruction.rpartition(chr(10))[2])}")

    def _measure(self, number: int, line: Line) -> None:
        words = len(line.response.split())
        self._words.append(words)
        self._instructions[line.instruction] += 1
        self._brief += _is_brief(line)
        if self._limits is not None and (more := self._limits.surely_longer(render(line.instruction), line.response)):
            self._too_long(number, f"more than {more}", self._limits)
            return
        measured = self._limits is not None and (number <= _MEASURED or number % _MEASURED_EVERY == 0)
        encode = self._limits.encode if self._limits is not None and measured else None
        self.result.scripts.add(line.response, f"line {number}", encode)
        if self._limits is not None:
            self._count_tokens(number, line, self._limits, measured=measured)

    def _count_tokens(self, number: int, line: Line, limits: ModelLimits, *, measured: bool) -> None:
        """Count tokens where they are wanted, or could be too many: there are never more than bytes."""
        answer_bytes = len(line.response.encode()) + 2
        total_bytes = len(render(line.instruction).encode()) + answer_bytes
        if not measured and answer_bytes <= limits.answer_tokens and total_bytes <= limits.context_tokens:
            return
        response = len(limits.encode(" " + line.response)) + 1  # and the end token
        context = len(limits.encode(render(line.instruction))) + response
        if measured:
            self._tokens.append(response)
            self._context.append(context)
        if context > limits.context_tokens:
            self._too_long(number, str(context), limits)
        elif response > limits.answer_tokens:
            what = f"response longer than the {limits.answer_tokens} tokens at which a served answer is cut"
            self.result.findings.warning(what, f"line {number}: {response} tokens")

    def _too_long(self, number: int, tokens: str, limits: ModelLimits) -> None:
        what = f"instruction and response longer than the {limits.context_tokens} tokens that {limits.model} reads"
        self.result.findings.error(what, f"line {number}: {tokens} tokens")

    def _draw(self, line: Line) -> None:
        """Keep each line with the same chance (reservoir sampling)."""
        if len(self.result.samples) < self._wanted:
            self.result.samples.append(line)
        elif (place := self._chance.randrange(self.result.lines)) < self._wanted:
            self.result.samples[place] = line

    def finish(self) -> ManifestSurvey:
        """Fill in the numbers of all lines."""
        result = self.result
        turns = [count for _, count in self.images.values()]
        result.images, result.turns = len(self.images), quantiles(turns)
        result.words, result.tokens, result.context = map(quantiles, (self._words, self._tokens, self._context))
        result.formats = counted_by_format(self._instructions)
        if result.turns is not None:
            usual = max(CROWDED_LINES, CROWDED_TIMES * result.turns.median)
            for image, (_, count) in self.images.items():
                if count > usual:
                    result.findings.warning("image with far more lines than the others", f"{image}: {count} lines")
        if 2 * self._brief > max(1, result.formats.get("free", 0)):
            what = f"answers of {_BRIEF_WORDS} words or fewer without the prompt that asks for a word or phrase"
            result.findings.warning(what, f"{self._brief} lines; importers add it with --answer-style short")
        self._judge_scripts()
        return result

    def _judge_scripts(self) -> None:
        if self._limits is None:
            return
        scripts, model = self.result.scripts, self._limits.model
        for name, each in scripts.found.items():
            if each.letters >= _FEW_LETTERS and each.tokens_a_letter > _SPELLED_OUT:
                what = "letters that the tokenizer knows only byte by byte: slow to write, and hardly learned"
                place = f"{name}: {each.tokens_a_letter:.1f} tokens a letter, from {each.where} on ({model})"
                self.result.findings.warning(what, place)
        plain = scripts.plain
        if plain.letters >= _FEW_LETTERS and plain.tokens_a_letter > _PLAIN_SPELLED_OUT:
            what = "words that the tokenizer spells letter by letter"
            self.result.findings.warning(what, f"{plain.tokens_a_letter:.1f} tokens a letter ({model})")

    def look_into_images(self, decode: int, progress: Progress) -> None:
        """Read the head of every image, and some to the end."""
        here = [(name, first) for name, (first, _) in self.images.items() if name not in self._absent]
        whole = set(range(0, len(here), max(1, -(-len(here) // decode)))) if decode else set()
        pixels = []
        for place, (name, first) in enumerate(here):
            try:
                pixels.append(_pixels(self._folder / name, whole=place in whole))
            except UNREADABLE as error:
                words = str(error).replace(str(self._folder / name), name)
                self.result.findings.error("image that cannot be read", f"line {first}: image: {name}: {words}")
            progress("images", place + 1, len(here))
        self.result.pixels, self.result.decoded = quantiles(pixels), len(whole)


def survey(
    path: Path, limits: ModelLimits | None, *, decode: int, samples: int, progress: Progress = lambda *_: None
) -> ManifestSurvey:
    """Survey the entries and images of a manifest.

    Args:
        path: the file.
        limits: of the model it is for; None leaves out what depends on one.
        decode: images to decode to the end, evenly spread; of the others only the head is read.
        samples: lines to draw.
        progress: called with what is read, how much of it, and of how much; 0 if nobody knows.

    Raises:
        OSError: the file cannot be read.
    """
    reading = _Reading(path, limits, samples)
    for place, (number, line) in enumerate(manifest_lines(path), start=1):
        reading.take(number, line)
        progress("lines", place, 0)
    reading.look_into_images(decode, progress)
    result = reading.finish()
    if not result.lines:
        result.findings.error("no line that can be used", str(path))
    return result


def _pixels(path: Path, *, whole: bool) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if whole:
                image.load()
            return image.width * image.height


def _wants_one_answer(line: Line) -> bool:
    """Return whether a question has one right answer; of captions there may be many."""
    wanted = response_format(line.instruction)
    return "caption" not in wanted and (wanted != "free" or _is_brief(line))


def _is_brief(line: Line) -> bool:
    words = line.response.split()
    few = len(words) <= _BRIEF_WORDS and max(map(len, words)) <= _WORD_LETTERS
    return few and response_format(line.instruction) == "free"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."

"""Requests to the model for one answer, and the memory error it may raise: plain data for any process."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal, TypeVar

from model.choices import ChoiceTree
from model.pixels.tiles import ImageKey, TileKey

FinishReason = Literal["stop", "length"]
# A temperature below this is greedy: the draw would be, but for ties, and logits divided by still less overflow.
GREEDY_BELOW = 1e-6
Kind = TypeVar("Kind")


def pickled_as_call(kind: type[Kind]) -> type[Kind]:
    """Have a dataclass pickled as a call with the values of its fields, in a quarter of the time it takes otherwise.

    What a frozen one with slots does by itself is Python code that goes through its fields by name, twice.
    """
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    values: Any = attrgetter(*names)

    def reduce(self: Kind) -> tuple[type[Kind], tuple[Any, ...]]:
        return kind, values(self) if len(names) > 1 else (values(self),)

    kind.__reduce__ = reduce  # type: ignore[assignment, method-assign]
    return kind


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of sampling: how the next token is chosen and when an answer ends.

    `temperature` 0, or below `GREEDY_BELOW`, is greedy. `top_p` keeps the smallest set of tokens whose probability
    reaches it. Token i of a request is drawn with randomness that depends on (`seed`, i) alone, so an interrupted
    request can be continued and a repeated one repeats. Generation ends before the first of the `stop` strings, which
    is not part of the answer.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()

    @property
    def greedy(self) -> bool:
        """True if the most probable token is always taken."""
        return self.temperature < GREEDY_BELOW

    @property
    def divisor(self) -> float:
        """The temperature by which logits are divided; 0.0 if they are not, because the row is greedy."""
        return 0.0 if self.greedy else self.temperature


@pickled_as_call
@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log-probability that the model gave to a chosen token, before temperature and top_p.

    Attributes:
        logprob: natural logarithm.
        top: the most probable tokens in its place and theirs, the most probable first; as many as were asked for.
    """

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ChosenChoice:
    """Choice taken from a tree of choices.

    Attributes:
        index: which one.
        tokens: its tokens, the end token included.
        logprobs: of each of its tokens, as the model gave them among all tokens.
        probabilities: of every choice, among the choices; they add up to 1.
        refused: the sentence for pictures outside the model's world is more probable than any choice.
    """

    index: int
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    probabilities: tuple[float, ...]
    refused: bool = False


@dataclass(frozen=True, slots=True)
class TileSpan:
    """Tiles `start` up to `stop` of one image, to be encoded in this step."""

    image_key: ImageKey
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class NewRow:
    """Row to be prefilled into a free slot.

    `given` tokens follow the prompt and are not generated again. `explain`: remember what its cross-attention looks at.
    `choices`: it is answered by one of them, whole. `top_logprobs`: so many alternatives are told of each token.
    """

    slot: int
    image_key: ImageKey
    prompt: tuple[int, ...]
    given: tuple[int, ...]
    sampling: Sampling
    explain: bool = False
    choices: ChoiceTree | None = None
    top_logprobs: int = 0


@pickled_as_call
@dataclass(frozen=True, slots=True)
class CacheChanges:
    """Images and tiles whose features have come into the feature cache or gone from it."""

    added: tuple[ImageKey, ...] = ()
    dropped: tuple[ImageKey, ...] = ()
    added_tiles: tuple[TileKey, ...] = ()
    dropped_tiles: tuple[TileKey, ...] = ()


@pickled_as_call
@dataclass(frozen=True, slots=True)
class FolderCounts:
    """Counts of a feature folder since the last time they were taken, and the size of its files as far as it is known.

    Attributes:
        hits: lookups that found an image's features.
        misses: lookups that did not.
        errors: files that could not be read, written or removed, or were damaged.
        size_bytes: of all files.
    """

    hits: int = 0
    misses: int = 0
    errors: int = 0
    size_bytes: int = 0


class DeviceMemoryError(RuntimeError):
    """Lack of device memory for a step, even after all that could be freed was freed. The model is well."""

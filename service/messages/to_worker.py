"""Messages that the API process sends to a worker: rows to answer, images to encode or to forget, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass

from model.pixels.tiles import ImageKey, TiledImage
from model.request import pickled_as_call
from service.messages.rows import Row


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Submit:
    """Rows that ask about the same image. `ahead`: they go before all that wait."""

    image: TiledImage
    rows: tuple[Row, ...]
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Encode an image when there is time, so that its features are ready when somebody asks about it."""

    image: TiledImage


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the features of an image."""

    image_key: ImageKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel these rows, because nobody waits for them any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OthersIdle:
    """The word that no other worker on these cores has any row, or that one has again."""

    idle: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End the worker; whatever is running is dropped."""


ToWorker = Submit | Prefetch | Forget | Cancel | OthersIdle | Stop

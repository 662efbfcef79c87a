"""Frames between the API process and a decoder: a question is an image file, an answer its tiles or a refusal.

Owns the bytes on the socket between the two. An answer is JSON and plain pixels, never a pickle: who sends it has just
read a stranger's file, and the API process must not run what comes from there. Pure functions.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from struct import Struct
from typing import Any

from model.pixels.tiles import ImageFacts, ImageKey, TiledImage, TileKey, Tiles
from service.errors import BadRequest, InvalidField, ServiceError, TooLarge, UnsupportedImage

QUESTION = Struct("<IIQ")  # tile_px, level, bytes of the file
ANSWER_HEAD = Struct("<I")  # bytes of the JSON that follows
MAX_HEAD_BYTES = 4096
SMALL_BYTES = 256 * 1024
_REFUSALS = {error.__name__: error for error in (BadRequest, UnsupportedImage, TooLarge, InvalidField)}
NO_KEY, NO_FACTS = ImageKey(""), ImageFacts()
_KEY = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z_]{1,64}")
MAX_WARNINGS = 8
_MOST = 2**31 - 1  # pixels along a side, or frames


class BrokenAnswer(Exception):
    """A decoder sent what no decoder sends."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The first part of an answer.

    Attributes:
        refusal: why the image is refused, or None if its tiles follow.
        retire: why the decoder is to be replaced, or empty.
        image_key: the hash of the pixels.
        width_px: width of the decoded image.
        height_px: height of the decoded image.
        facts: what else is known of the file.
        tile_keys: the hashes of its tiles.
    """

    refusal: ServiceError | None
    retire: str
    image_key: ImageKey = NO_KEY
    width_px: int = 0
    height_px: int = 0
    facts: ImageFacts = NO_FACTS
    tile_keys: tuple[TileKey, ...] = ()

    def image(self, tiles: Tiles) -> TiledImage:
        """Put the image together.

        Raises:
            BrokenAnswer: there are more or fewer tiles than keys.
        """
        if len(self.tile_keys) != len(tiles):
            raise BrokenAnswer(f"{len(self.tile_keys)} keys for {len(tiles)} tiles")
        return TiledImage(self.image_key, self.width_px, self.height_px, tiles, self.facts, self.tile_keys)


def tiles_head(image: TiledImage, retire: str) -> bytes:
    """Build the head of an answer whose tiles follow."""
    named = {"image_key": image.image_key, "width_px": image.width_px, "height_px": image.height_px}
    return _head(named | {"facts": asdict(image.facts), "tile_keys": image.tile_keys, "retire": retire})


def refusal_head(error: ServiceError, retire: str) -> bytes:
    """Build an answer that refuses the image."""
    return _head({"refused": type(error).__name__, "detail": error.detail[:1000], "retire": retire})


def joined_if_small(head: bytes, body: memoryview) -> tuple[bytes | memoryview, ...]:
    """Join a head and a small body, so that the other side is woken once and not twice.

    >>> joined_if_small(b"head", memoryview(b"body"))
    (b'headbody',)
    """
    return (head + body,) if len(body) <= SMALL_BYTES else (head, body)


def _head(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields).encode()
    return ANSWER_HEAD.pack(len(text)) + text


def read_head(text: bytes) -> AnswerHead:
    """Read the head of an answer, believing nothing.

    Raises:
        BrokenAnswer: it is none.
    """
    try:
        fields = json.loads(text)
        retire = str(fields["retire"])
        if "refused" in fields:
            return AnswerHead(_REFUSALS[fields["refused"]](str(fields["detail"])), retire)
        key, width_px, height_px = str(fields["image_key"]), _count(fields["width_px"]), _count(fields["height_px"])
        tile_keys = tuple(TileKey(str(each)) for each in fields["tile_keys"])
        if not all(map(_KEY.fullmatch, [key, *tile_keys])):
            raise ValueError(key[:64])
        facts = _facts(fields["facts"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenAnswer(f"{type(error).__name__}: {error}") from None
    return AnswerHead(None, retire, ImageKey(key), width_px, height_px, facts, tile_keys)


def _facts(fields: dict[str, Any]) -> ImageFacts:
    name, words = str(fields["format"]), [str(word) for word in fields["warnings"]]
    if len(words) > MAX_WARNINGS or not all(map(_WORD.fullmatch, [name, *words])):
        raise ValueError(name[:64])
    return ImageFacts(name, _count(fields["frames"]), bool(fields["has_transparency"]), tuple(words))


def _count(number: Any) -> int:
    """Read a number of pixels or frames: JSON may also have 1e999, which no `int` is made of."""
    if type(number) is not int or not 1 <= number <= _MOST:
        raise ValueError(f"{number!r} is no count"[:64])
    return number

"""Shards: a set of images in several parts, equal on average, for as many machines. Pure; safe from any thread."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

MOST_SHARDS = 100_000
_SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)


class ShardError(ValueError):
    """A shard that is none; the message says how one is written."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, from 1 on, of `of` parts.

    An image's part is decided by its name alone: it stays where it is when images are added or taken away.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read a shard as it is typed.

        Raises:
            ShardError: it is none.

        >>> str(Shard.parse("3/16"))
        '3/16'
        """
        found = _SHARD.fullmatch(text.strip())
        if found is None or not int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            raise ShardError(f"--shard {text}: write NUMBER/OF, as in 3/16; the first of 16 is 1/16, the last 16/16")
        return cls(int(found[1]), int(found[2]))

    def has(self, name: str) -> bool:
        """Say whether an image of this name belongs to the part."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

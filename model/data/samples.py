"""What training learns from: an image and what was said about it, by number.

Knows nothing of tokens, batches or files. Pure data; sources are read in the data loader's worker processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

ENDLESS = 1 << 40  # a source at least this long is made up as it is read: nobody will see its end


@dataclass(frozen=True, slots=True)
class Turn:
    """One instruction, as `model.prompt.render` takes it (response formatting prompt included), and its response."""

    instruction: str
    response: str


@dataclass(frozen=True, slots=True)
class Sample:
    """An image, RGB, and one or more turns about it."""

    image: Image.Image
    turns: tuple[Turn, ...]


class Source(Protocol):
    """Samples by number. The same number always gives the same sample, or a resumed run would be another run.

    It is sent to the loader's worker processes, so it can be pickled; `__getitem__` opens files or draws scenes there.
    """

    def __len__(self) -> int:
        """How many samples there are; `ENDLESS` or more if they are made up as they are read."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """The sample of that number, from 0."""
        ...

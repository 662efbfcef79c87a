"""Samples for training: an image and the turns about it, by number.

Knows nothing of tokens, batches or files. Pure data; sources are read in the data loader's worker processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

ENDLESS = 1 << 40  # a source at least this long is made up as it is read: nobody will see its end


@dataclass(frozen=True, slots=True)
class Turn:
    """Instruction, as `model.prompt.render` takes it (response formatting prompt included), and its response."""

    instruction: str
    response: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Training sample: an RGB image, and one or more turns about it."""

    image: Image.Image
    turns: tuple[Turn, ...]


class Source(Protocol):
    """Source of samples by number. The same number always gives the same sample, or a resumed run would be another run.

    It is sent to the loader's worker processes, so it can be pickled; `__getitem__` opens files or draws scenes there.
    """

    def __len__(self) -> int:
        """Return the number of samples; `ENDLESS` or more if they are made up as they are read."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Return sample number `index`, from 0."""
        ...

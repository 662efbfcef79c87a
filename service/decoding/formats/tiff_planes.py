"""TIFF whose colours lie in separate planes, uncompressed: each of its strips or tiles is put together from all planes.

Pillow reads such planes of 8 bits and without an alpha channel only; others it refuses, or makes noise of. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import InvalidField

MOST_SAMPLES = 6  # of a pixel, that the reader knows


@dataclass(frozen=True, slots=True)
class Planes:
    """The planes of a picture.

    Attributes:
        samples: how many planes there are.
        sample_bytes: bytes of a number.
        part_sizes: bytes of each strip or tile of one plane.
        places: of the strips or tiles, plane by plane.
    """

    samples: int
    sample_bytes: int
    part_sizes: Sequence[int]
    places: np.ndarray

    def merged(self, data: bytes) -> list[bytes]:
        """Return the strips or tiles with the numbers of a pixel side by side.

        Raises:
            InvalidField: the file has not all of their bytes.
        """
        parts, sizes = len(self.part_sizes), np.array(self.part_sizes, np.int64)
        # Parts that share their bytes are none of an honest file, and could add up to any size.
        is_whole = len(self.places) >= self.samples * parts and self.samples * int(sizes.sum()) <= len(data)
        places = self.places[: self.samples * parts].reshape(self.samples, -1) if is_whole else self.places
        if not is_whole or bool((places + sizes > len(data)).any()):
            raise InvalidField("image: cut short; some of its planes are missing (TIFF)")
        return [self._merged(data, places[:, part], size) for part, size in enumerate(self.part_sizes)]

    def _merged(self, data: bytes, places: np.ndarray, size: int) -> bytes:
        planes = [np.frombuffer(data, np.uint8, size, int(place)) for place in places]
        return np.stack([plane.reshape(-1, self.sample_bytes) for plane in planes], axis=1).tobytes()

"""Traffic: who asks about which image, and when, drawn from a seed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bench.capacity.machine import SimulatedRequest


@dataclass(frozen=True, slots=True)
class Traffic:
    """The kind of requests that people send.

    Attributes:
        repeated: share of the requests about an image of the known ones; each other brings an image of its own.
        known: how many images are asked about again and again; those are numbered from 0.
        zipf: exponent of their popularity, in the order of their numbers; 0 if all are as popular.
        tokens: of an answer.
    """

    repeated: float
    known: int
    zipf: float = 0.0
    tokens: int = 32

    def popularity(self) -> NDArray[np.float64]:
        """Return the share of all requests that each known image has."""
        weights = np.arange(1, self.known + 1, dtype=np.float64) ** -self.zipf
        shares: NDArray[np.float64] = self.repeated * weights / weights.sum()
        return shares


class ImageDraw:
    """A draw of images: known ones by their popularity, or new ones, which nobody has seen before.

    Args:
        images: numbers of the known images that may come.
        rates: of each of them.
        new_rate: of new images.
        chance: where randomness comes from.
        first_new: number of the first new image.
    """

    def __init__(
        self,
        images: NDArray[np.int64],
        rates: NDArray[np.float64],
        new_rate: float,
        chance: np.random.Generator,
        first_new: int,
    ) -> None:
        self._images = images
        self._cumulative = np.cumsum(rates)
        self._known = float(self._cumulative[-1]) if len(rates) else 0.0
        self._new = new_rate
        self._chance = chance
        self._next_new = first_new

    @property
    def rate(self) -> float:
        """The rate of all of them together."""
        return self._known + self._new

    def take(self, count: int) -> list[int]:
        """Draw so many images."""
        drawn = self._chance.random(count) * self.rate
        places = np.minimum(np.searchsorted(self._cumulative, drawn, side="right"), max(0, len(self._images) - 1))
        taken: list[int] = []
        for value, place in zip(drawn, places, strict=True):
            if value < self._known:
                taken.append(int(self._images[place]))
            else:
                taken.append(self._next_new)
                self._next_new += 1
        return taken


def open_arrivals(
    draw: ImageDraw, rate_per_s: float, seconds: float, tokens: int, chance: np.random.Generator
) -> Iterator[SimulatedRequest]:
    """Draw the requests of a Poisson process, in the order of their arrival."""
    count = int(chance.poisson(rate_per_s * seconds))
    times = np.sort(chance.random(count)) * seconds
    for number, (time_s, image) in enumerate(zip(times, draw.take(count), strict=True)):
        yield SimulatedRequest(number, image, tokens, arrived_s=float(time_s))


def whole_draw(traffic: Traffic, chance: np.random.Generator) -> ImageDraw:
    """Return a draw of all images of the traffic; their rates are shares."""
    images = np.arange(traffic.known, dtype=np.int64)
    return ImageDraw(images, traffic.popularity(), 1.0 - traffic.repeated, chance, first_new=traffic.known)

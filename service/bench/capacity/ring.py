"""The proxy's consistent hashing of images over machines, plain or with bounded loads. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS = 160  # of a machine on the ring, as in ketama, which nginx follows


@dataclass(frozen=True, slots=True)
class HashRing:
    """A ring of machines.

    Attributes:
        points: places on the ring in order, 0 to 1.
        owners: the machine at each point.
        count: how many machines.
    """

    points: NDArray[np.float64]
    owners: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, count: int) -> HashRing:
        """Place so many machines; always at the same points, so that one more moves few images."""
        points = np.concatenate([np.random.default_rng([1, machine]).random(POINTS) for machine in range(count)])
        order = np.argsort(points)
        return cls(points[order], np.repeat(np.arange(count), POINTS)[order], count)

    def places(self, images: int) -> NDArray[np.int64]:
        """Return the index of the point that each image comes to first."""
        hashes = np.random.default_rng(2).random(images)
        places: NDArray[np.int64] = np.searchsorted(self.points, hashes) % len(self.points)
        return places

    def arcs(self) -> NDArray[np.float64]:
        """Return the share of the ring that each machine has, and so its share of new images."""
        lengths = np.diff(self.points, prepend=self.points[-1] - 1.0)
        return np.bincount(self.owners, weights=lengths, minlength=self.count).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The images of all machines: rate `rates[i]` of image `images[i]` goes to machine `machines[i]`."""

    images: NDArray[np.int64]
    machines: NDArray[np.int64]
    rates: NDArray[np.float64]
    new_rates: NDArray[np.float64]

    def loads(self) -> NDArray[np.float64]:
        """Return the rate of each machine."""
        loads: NDArray[np.float64] = self.new_rates + np.bincount(
            self.machines, self.rates, minlength=len(self.new_rates)
        )
        return loads


def assign(ring: HashRing, rates: NDArray[np.float64], new_rate: float, balance: float | None = None) -> Assignment:
    """Send each image to the machine that the ring says.

    With `balance` no machine gets more than so many times the mean rate: what is too much goes on to the next machines
    of the ring, as `hash-balance-factor` of HAProxy does request by request; here by the rates.

    Args:
        ring: of the machines.
        rates: of the known images, the most popular first.
        new_rate: of all new images.
        balance: at least 1; None for plain hashing.
    """
    places, images = ring.places(len(rates)), np.arange(len(rates), dtype=np.int64)
    new_rates = ring.arcs() * new_rate
    if balance is None:
        return Assignment(images, ring.owners[places], rates, new_rates)
    bound = balance * (float(rates.sum()) + new_rate) / ring.count
    new_rates = _levelled(new_rates, bound)
    load = new_rates.copy()
    parts: list[tuple[int, int, float]] = []
    for image, (start, rate) in enumerate(zip(places.tolist(), rates.tolist(), strict=True)):
        place, left = start, rate
        while left > 0.0:
            machine = int(ring.owners[place])
            part = min(left, bound - load[machine])
            if part > 0.0:
                parts.append((image, machine, part))
                load[machine] += part
                left -= part
            place = (place + 1) % len(ring.points)
            if place == start:  # rounding: there is room for all, but for the last bit
                break
    images_, machines, given = zip(*parts, strict=True) if parts else ((), (), ())
    return Assignment(np.array(images_, dtype=np.int64), np.array(machines, dtype=np.int64), np.array(given), new_rates)


def _levelled(rates: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """Cut rates at a bound, and spread what is cut over the others."""
    cut = np.minimum(rates, bound)
    room = bound - cut
    levelled: NDArray[np.float64] = cut + room * (rates.sum() - cut.sum()) / max(room.sum(), 1e-12)
    return levelled

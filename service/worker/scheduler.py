"""What the next engine step does: a pure function of who waits, what is encoded, and how much a step may take.

No clock, no tensors, no state: property tests call it a thousand times. Policy lives here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from model.request import TileSpan
from model.tiles import ImageKey


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A row without a slot, and the image it asks about."""

    id: str
    image_key: ImageKey


@dataclass(frozen=True, slots=True)
class Admission:
    """A row that gets a slot in this step."""

    id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: which tiles to encode, then which rows to admit."""

    encode: tuple[TileSpan, ...] = ()
    admit: tuple[Admission, ...] = ()


def plan(
    waiting: Sequence[WaitingRow],
    encoded: Mapping[ImageKey, int],
    tiles_per_image: int,
    free_slots: Iterable[int],
    tile_budget: int,
    admit_budget: int,
    prefetch: Sequence[ImageKey] = (),
) -> Plan:
    """Plan one step: tiles for those who came first, slots for those who came first among the ready.

    A row is ready when its image is completely encoded, in this step at the latest. The oldest row without features
    gets tiles in every step, and every row that overtakes it could not have been delayed for its good; so nobody
    starves.

    Args:
        waiting: rows in the order they came.
        encoded: tiles already encoded of each image that may be worked on; rows of other images are left alone.
        tiles_per_image: tiles of a complete image.
        free_slots: slots nobody holds, each at most once.
        tile_budget: tiles this step may encode.
        admit_budget: rows this step may prefill.
        prefetch: images that nobody waits for yet; they get the tiles that are left.
    """
    wanted = [row.image_key for row in waiting if row.image_key in encoded]
    spans = _spans([*wanted, *prefetch], encoded, tiles_per_image, tile_budget)
    reached = dict(encoded) | {span.image_key: span.stop for span in spans}
    ready = (row for row in waiting if reached.get(row.image_key) == tiles_per_image)
    slots = list(free_slots)[: max(0, admit_budget)]
    admissions = tuple(Admission(row.id, slot) for row, slot in zip(ready, slots, strict=False))
    return Plan(spans, admissions)


def _spans(
    image_keys: Iterable[ImageKey], encoded: Mapping[ImageKey, int], tiles_per_image: int, budget: int
) -> tuple[TileSpan, ...]:
    spans = []
    for image_key in dict.fromkeys(image_keys):
        count = min(tiles_per_image - encoded[image_key], budget)
        if count > 0:
            spans.append(TileSpan(image_key, encoded[image_key], encoded[image_key] + count))
            budget -= count
    return tuple(spans)

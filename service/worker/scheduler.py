"""The scheduler: a pure function that plans the next step of continuous batching.

No clock, no tensors, no state: property tests call it a thousand times. Policy lives here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from model.request import TileSpan
from model.tiles import ImageKey


@dataclass(frozen=True, slots=True)
class Admission:
    """A row that gets a slot in a step."""

    id: str
    slot: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A plan for one step: which tiles to encode, then which rows to admit."""

    encode: tuple[TileSpan, ...] = ()
    admit: tuple[Admission, ...] = ()


def plan(
    waiting: Mapping[str, ImageKey],
    encoded: Mapping[ImageKey, int],
    tiles_per_image: int,
    free_slots: Iterable[int],
    tile_budget: int,
    admit_budget: int,
    prefetch: Sequence[ImageKey] = (),
) -> StepPlan:
    """Plan one step: tiles for those who came first, slots for those who came first among the ready.

    A row is ready when its image is completely encoded, in this step at the latest. The oldest row without features
    gets tiles in every step, and every row that overtakes it could not have been delayed for its good; so nobody
    starves.

    Args:
        waiting: ids of the rows without a slot in the order they came, and the image each asks about.
        encoded: tiles already encoded of each image that may be worked on; rows of other images are left alone.
        tiles_per_image: tiles of a complete image.
        free_slots: slots nobody holds, each at most once.
        tile_budget: tiles this step may encode.
        admit_budget: rows this step may prefill.
        prefetch: images that nobody waits for yet; they get the tiles that are left.
    """
    wanted = [image_key for image_key in waiting.values() if image_key in encoded]
    spans = _spans([*wanted, *prefetch], encoded, tiles_per_image, tile_budget)
    reached = dict(encoded) | {span.image_key: span.stop for span in spans}
    ready = (row_id for row_id, image_key in waiting.items() if reached.get(image_key) == tiles_per_image)
    slots = list(free_slots)[: max(0, admit_budget)]
    admissions = tuple(Admission(row_id, slot) for row_id, slot in zip(ready, slots, strict=False))
    return StepPlan(spans, admissions)


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

"""The scheduler: a pure function that plans the next step of continuous batching.

No clock, no tensors, no state: property tests call it a thousand times. Policy lives here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from model.pixels.tiles import ImageKey
from model.request import TileSpan
from service.messages.rows import Flow
from service.worker.scheduling.fairness import SlotHolder, to_preempt


@dataclass(frozen=True, slots=True)
class Admission:
    """A row that gets a slot in a step."""

    id: str
    slot: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A plan for one step: which tiles to encode, which slots to take back, then which rows to admit."""

    encode: tuple[TileSpan, ...] = ()
    admit: tuple[Admission, ...] = ()
    preempt: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sharing:
    """The state of flows, as far as preemption is concerned.

    Attributes:
        flows: that of each waiting row.
        holders: the running rows.
        shares: of the slots, as `service.worker.scheduling.fairness.fair_shares` says.
    """

    flows: Mapping[str, Flow]
    holders: Sequence[SlotHolder]
    shares: Mapping[Flow, float]


def plan(
    waiting: Mapping[str, ImageKey],
    encoded: Mapping[ImageKey, int],
    tiles_per_image: int,
    free_slots: Iterable[int],
    tile_budget: int,
    admit_budget: int,
    prefetch: Sequence[ImageKey] = (),
    prefetch_budget: int = 0,
    sharing: Sharing | None = None,
) -> StepPlan:
    """Plan one step: tiles for those who come first, slots for those who come first among the ready.

    A row is ready when its image is completely encoded, in this step at the latest. The first row without features
    gets tiles in every step, and every row that overtakes it could not have been delayed for its good; so nobody
    starves.

    Args:
        waiting: ids of the rows without a slot, in the order of `service.worker.scheduling.fairness`, and each one's
            image.
        encoded: tiles already encoded of each image that may be worked on; rows of other images are left alone.
        tiles_per_image: tiles of a complete image.
        free_slots: slots nobody holds, each at most once.
        tile_budget: tiles this step may encode.
        admit_budget: rows this step may prefill.
        prefetch: images that nobody waits for yet; they get tiles in a step that does nothing
            for those who wait.
        prefetch_budget: tiles of theirs that this step may encode.
        sharing: who may take whose slot when none is free; None if nobody may.
    """
    wanted = [image_key for image_key in waiting.values() if image_key in encoded]
    spans = _spans(wanted, encoded, tiles_per_image, tile_budget)
    reached = dict(encoded) | {span.image_key: span.stop for span in spans}
    ready = [row_id for row_id, image_key in waiting.items() if reached.get(image_key) == tiles_per_image]
    ready, free = ready[: max(0, admit_budget)], list(free_slots)
    admissions = [Admission(row_id, slot) for row_id, slot in zip(ready, free, strict=False)]
    taken = _preempt(ready[len(free) :], admissions, sharing) if sharing is not None else []
    if not (spans or admissions or taken):
        spans = _spans(prefetch, encoded, tiles_per_image, prefetch_budget)
    return StepPlan(spans, (*admissions, *taken), tuple(admission.slot for admission in taken))


def _preempt(ready: Sequence[str], admitted: Sequence[Admission], sharing: Sharing) -> list[Admission]:
    """Give rows for which no slot is free those of other flows, as far as they have a right to them."""
    holders = {holder.slot: holder for holder in sharing.holders}

    def hold(row_id: str, slot: int) -> Admission:
        holders[slot] = SlotHolder(slot, sharing.flows[row_id], tokens=0, slot_tokens=0)
        return Admission(row_id, slot)

    for each in admitted:
        hold(each.id, each.slot)
    taken = []
    for row_id in ready:
        loser = to_preempt(sharing.flows[row_id], holders.values(), sharing.shares)
        if loser is not None:
            taken.append(hold(row_id, loser.slot))
    return taken


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

"""All lanes together: which worker gets which request, and what the workers know between them.

Owns dispatch. Knows no clients and no waiting room. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from model.tiles import ImageKey, TiledImage
from model.tokenizer import TextTokenizer
from service.dispatch.costs import Costs
from service.dispatch.lane import Lane
from service.dispatch.reservation import Request
from service.messages import StepDone
from service.settings import Settings


class Fleet:
    """A lane for each device the settings name; the callbacks are `service.dispatch.lane.Lane`'s."""

    def __init__(
        self,
        settings: Settings,
        on_step: Callable[[Lane, StepDone], None],
        on_change: Callable[[Lane, list[Request]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.lanes = [
            Lane(settings, device.strip(), on_step, on_change, on_failure) for device in settings.devices.split(",")
        ]

    def start(self) -> None:
        """Start the workers."""
        for lane in self.lanes:
            lane.start()

    async def stop(self) -> None:
        """End them."""
        await asyncio.gather(*(lane.stop() for lane in self.lanes))

    @property
    def ready(self) -> list[Lane]:
        """Lanes whose worker can take requests."""
        return [lane for lane in self.lanes if lane.card is not None]

    @property
    def slots(self) -> int:
        """Answers that can be generated at the same time now."""
        return sum(lane.card.slots for lane in self.ready if lane.card is not None)

    @property
    def requests(self) -> Iterable[Request]:
        """Everything that is with a worker."""
        return (request for lane in self.lanes for request in lane.requests.values())

    @property
    def tokenizer(self) -> TextTokenizer | None:
        """The model's, once a worker has been ready."""
        return next((lane.tokenizer for lane in self.lanes if lane.tokenizer is not None), None)

    def hand_out(self, pending: Sequence[Request]) -> list[Request]:
        """Give requests to ready lanes: rows of one place together, the least loaded lane first.

        A request on trial is given alone, and its lane takes nobody until the trial is over.

        Returns:
            Those that nobody can take now, in their order.
        """
        kept: list[Request] = []
        for _, group in groupby(pending, key=lambda request: (id(request.place), request.on_trial)):
            requests = list(group)
            for batch in [[request] for request in requests] if requests[0].on_trial else [requests]:
                free = [lane for lane in self.ready if not lane.holds_trial]
                if free:
                    min(free, key=lambda lane: lane.cost(batch[0].image)).give(batch)
                else:
                    kept += batch
        return kept

    def take_back(self, ids: set[str]) -> None:
        """Cancel requests, wherever they are."""
        for lane in self.lanes:
            lane.take_back([row_id for row_id in ids if row_id in lane.requests])

    def prefetch(self, image: TiledImage) -> None:
        """Have an image encoded in the background, unless its features are here already."""
        if self.ready and not self.resident(image.image_key):
            min(self.ready, key=lambda lane: lane.cost(image)).prefetch(image)

    def forget(self, image_key: ImageKey) -> None:
        """Drop an image's features everywhere."""
        for lane in self.lanes:
            lane.forget(image_key)

    def resident(self, image_key: ImageKey) -> bool:
        """Whether an image's features are in some worker's cache, as the workers tell."""
        return any(image_key in lane.resident for lane in self.lanes)

    def costs(self) -> Costs:
        """What work has cost lately, on the least loaded device."""
        return min(self.lanes, key=lambda lane: (lane.card is None, len(lane.requests))).costs

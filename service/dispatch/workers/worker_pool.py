"""The pool of workers, one for each device: it dispatches rows and knows what they have in common.

Owns dispatch. Knows no clients and no waiting queue. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from model.pixels.tiles import ImageKey, TiledImage
from model.tokenizer import TextTokenizer
from service.configuration.settings import Settings
from service.dispatch.costs import Costs
from service.dispatch.reservation import AcceptedRow
from service.dispatch.workers.supervisor import WorkerSupervisor
from service.messages.from_worker import StepDone
from service.messages.to_worker import Forget, Prefetch

HEAD_START_S = 10.0  # that the first worker on CPUs has at most, so that the service is ready sooner


class WorkerPool:
    """The supervisors of the workers, one for each device that the settings name.

    The callbacks are those of `service.dispatch.workers.supervisor.WorkerSupervisor`; `supervise` makes one, or what
    stands for workers that run elsewhere.
    """

    def __init__(
        self,
        settings: Settings,
        on_step: Callable[[WorkerSupervisor, StepDone], None],
        on_change: Callable[[WorkerSupervisor, list[AcceptedRow]], None],
        on_failure: Callable[[str], None],
        supervise: Callable[..., WorkerSupervisor] = WorkerSupervisor,
    ) -> None:
        devices = settings.devices.split(",")
        self.supervisors = [
            supervise(settings, number, device.strip(), on_step, on_change, on_failure)
            for number, device in enumerate(devices)
        ]
        self._share_cores = len(devices) > 1 and {device.strip() for device in devices} == {"cpu"}
        self._waiting: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start all workers; on CPUs the first alone until it is ready, because they would share the cores."""
        first, *others = self.supervisors
        first.start()
        self._start_others(others, asyncio.get_running_loop().time() + HEAD_START_S * self._share_cores)

    def _start_others(self, others: list[WorkerSupervisor], at_latest: float) -> None:
        loop = asyncio.get_running_loop()
        if others and not self.ready and loop.time() < at_latest:
            self._waiting = loop.call_later(HEAD_START_S / 100, self._start_others, others, at_latest)
            return
        for supervisor in others:
            supervisor.tokenizer = self.tokenizer  # the model has been loaded once: a failure now is none of its files
            supervisor.start()

    def _end_start(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def kill(self) -> None:
        """End all workers at once."""
        self._end_start()
        for supervisor in self.supervisors:
            supervisor.kill()

    async def stop(self) -> None:
        """End the workers of all devices."""
        self._end_start()
        await asyncio.gather(*(supervisor.stop() for supervisor in self.supervisors))

    @property
    def ready(self) -> list[WorkerSupervisor]:
        """The supervisors of workers that can take rows."""
        return [supervisor for supervisor in self.supervisors if supervisor.card is not None]

    @property
    def slots(self) -> int:
        """The number of answers that can be generated at the same time now."""
        return sum(supervisor.card.slots for supervisor in self.ready if supervisor.card is not None)

    @property
    def rows(self) -> Iterable[AcceptedRow]:
        """All rows that are with a worker."""
        return (row for supervisor in self.supervisors for row in supervisor.rows.values())

    @property
    def tokenizer(self) -> TextTokenizer | None:
        """The model's tokenizer, once a worker has been ready."""
        return next((supervisor.tokenizer for supervisor in self.supervisors if supervisor.tokenizer is not None), None)

    def hand_out(self, pending: Sequence[AcceptedRow]) -> list[AcceptedRow]:
        """Give rows to ready workers: those of one reservation together, to the least loaded worker.

        A row in quarantine is given alone, to a worker without rows if there is one or will be soon. The worker gets
        no other until the quarantine is over.

        Returns:
            Those that nobody can take now, in their order.
        """
        kept: list[AcceptedRow] = []
        for _, group in groupby(pending, key=lambda row: (id(row.reservation), row.quarantined)):
            rows = list(group)
            for batch in [[row] for row in rows] if rows[0].quarantined else [rows]:
                free = self._free(quarantine=batch[0].quarantined)
                if free:
                    for row in batch:
                        row.given()
                    min(free, key=lambda supervisor: supervisor.cost(batch[0].image)).give(batch)
                else:
                    kept += batch
        self._tell_who_is_alone()
        return kept

    def _free(self, *, quarantine: bool) -> list[WorkerSupervisor]:
        """Return the workers that may be given a row; in quarantine those without rows, if there is one or will be."""
        free = [supervisor for supervisor in self.ready if not supervisor.holds_quarantined]
        if not quarantine:
            return free
        empty = [supervisor for supervisor in free if not supervisor.rows]
        soon = any(supervisor.is_coming or supervisor.holds_quarantined for supervisor in self.supervisors)
        return empty if empty or soon else free

    def _tell_who_is_alone(self) -> None:
        """Tell workers that share the cores whether the others have nothing to do."""
        if self._share_cores:
            busy = sum(bool(supervisor.rows) for supervisor in self.supervisors)
            for supervisor in self.supervisors:
                supervisor.tell_others_idle(busy == 1)

    def take_back(self, ids: set[str]) -> None:
        """Cancel rows, wherever they are."""
        for supervisor in self.supervisors:
            supervisor.take_back([row_id for row_id in ids if row_id in supervisor.rows])

    def prefetch(self, image: TiledImage) -> None:
        """Let a worker encode an image in the background, unless its features are here or no worker is free."""
        free = self._free(quarantine=False)
        if free and not self.resident(image.image_key):
            min(free, key=lambda supervisor: supervisor.cost(image)).tell(Prefetch(image))

    def forget(self, image_key: ImageKey) -> None:
        """Drop an image's features everywhere."""
        for supervisor in self.supervisors:
            supervisor.tell(Forget(image_key))

    def revoke(self, image_key: ImageKey) -> None:
        """Let an image's features stay that was deleted and is here again."""
        for supervisor in self.supervisors:
            supervisor.revoke(image_key)

    def resident(self, image_key: ImageKey) -> bool:
        """Say whether an image's features are in some worker's cache, as the workers tell."""
        return any(image_key in supervisor.resident for supervisor in self.supervisors)

    def cached_tiles(self, image: TiledImage) -> int:
        """Count the tiles of an image that need not be encoded by the worker that has most of them."""
        return max((supervisor.resident.cached_tiles(image) for supervisor in self.supervisors), default=0)

    def costs(self) -> Costs:
        """Return the recent cost of work on the least loaded device."""
        return min(self.supervisors, key=lambda supervisor: (supervisor.card is None, len(supervisor.rows))).costs

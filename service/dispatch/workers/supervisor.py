"""The supervisor of one device's worker process: its rows, its heartbeat, and its restarts.

Owns restarts and their pauses. Knows no admission and no clients. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable

from model.pixels.tiles import ImageKey, TiledImage
from model.tokenizer import TextTokenizer
from service.configuration.settings import Settings
from service.dispatch.costs import Costs
from service.dispatch.placement import expected_wait
from service.dispatch.reservation import AcceptedRow
from service.dispatch.residency import Residency
from service.dispatch.workers.worker_handle import WorkerProcess
from service.messages.from_worker import (
    FromWorker,
    LoadFailed,
    ModelCard,
    Preparing,
    Ready,
    Started,
    StepDone,
    StepReport,
)
from service.messages.rows import name_requests
from service.messages.to_worker import Cancel, Forget, OthersIdle, Prefetch, Submit

LONGEST_PAUSE_S = 8.0  # longest backoff between starts of a worker that dies before it is ready
MOST_DELETED = 4096  # images whose deletion is told again to the next worker
LOAD_PATIENCE = 5.0  # a successor that loads so many times longer than the one before is stuck
LONGEST_LOAD_S = 600.0  # that patience grows up to this, if successors are killed and none becomes ready

logger = logging.getLogger("pheye.supervisor")


class WorkerSupervisor:
    """A supervisor of one device: it keeps a worker process there, and starts the next one when that dies.

    Args:
        settings: given to the worker.
        number: which of the workers it is, from 0.
        device: what it computes on.
        on_step: told of every step's events and numbers.
        on_change: told when a worker became ready or died; the second argument is what the dead one had.
        on_failure: told why the model cannot be loaded at all.

    Attributes:
        labels: its number and device, as metrics name it.
        card: the loaded model; None while there is no ready worker.
        tokenizer: the model's, once a worker has been ready.
        rows: what the worker has been given and has not finished, by id.
        report: the latest step's numbers.
        resident: keys of the images whose features are in the worker's cache.
        costs: what its work has cost lately.
        deaths: how many workers died.
    """

    def __init__(
        self,
        settings: Settings,
        number: int,
        device: str,
        on_step: Callable[[WorkerSupervisor, StepDone], None],
        on_change: Callable[[WorkerSupervisor, list[AcceptedRow]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.device = device
        self.labels = (str(number), device)
        self.card: ModelCard | None = None
        self.tokenizer: TextTokenizer | None = None
        self.rows: dict[str, AcceptedRow] = {}
        self.report = StepReport()
        self.resident = Residency()
        self.costs = Costs()
        self.deaths = 0
        self._settings = settings
        self._on_step, self._on_change, self._on_failure = on_step, on_change, on_failure
        self._started_s = self._progress_s = time.monotonic()
        self._load_s = math.inf  # what starting and loading took last; before that it may be a long download
        self._failed_starts = 0  # consecutive
        self._quarantined: AcceptedRow | None = None  # the row in quarantine that the worker was given last
        self._deleted: dict[ImageKey, None] = {}  # images of which the next worker is told; the oldest deletion first
        self._touched: list[AcceptedRow] = []  # rows announced by `Started`, by steps not yet known to be over
        self._preparing: tuple[str, ...] = ()  # ids of the rows that the worker takes up just now
        self._knows_others_idle = False
        self._stopping = False
        self._restart: asyncio.TimerHandle | None = None
        self._worker: WorkerProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the worker."""
        return self._worker.pid if self._worker else None

    @property
    def _name(self) -> str:
        """The worker's name in the log, with the number that is its label in the metrics."""
        return f"worker {self.labels[0]} on {self.device} (process {self.pid})"

    @property
    def quiet_s(self) -> float:
        """The seconds since the worker's last sign of progress."""
        return time.monotonic() - self._progress_s

    def start(self) -> None:
        """Start a worker process."""
        self._started_s = self._progress_s = time.monotonic()
        try:
            self._worker = WorkerProcess(self._settings, self.device, self._message, self._exited)
        except (OSError, RuntimeError) as error:  # no memory, descriptor, process or thread left: there may be later
            logger.error("no worker can be started on %s: %s", self.device, error)
            self._exited(None)

    def kill(self) -> None:
        """End the worker for good, at once."""
        self._end_restarts()
        if self._worker is not None:
            self._worker.kill()

    def _end_restarts(self) -> None:
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()

    async def stop(self) -> None:
        """End the worker for good."""
        self._end_restarts()
        if self._worker is not None:
            if self.card is None:
                self._worker.kill()  # a loading worker does not read messages
            await self._worker.stop()

    @property
    def is_coming(self) -> bool:
        """True while a worker is loading, unless one before it died of that: it is soon ready, and without rows."""
        return self.card is None and not self._failed_starts and not self._stopping

    @property
    def holds_quarantined(self) -> bool:
        """True if the worker runs a request in quarantine, and must be given nothing else."""
        return self._quarantined is not None and self._quarantined.quarantined and self._quarantined.id in self.rows

    def cost(self, image: TiledImage) -> float:
        """Estimate a new row's wait, in rows: a worker that has the features of the image's tiles is preferred."""
        coming = any(row.image.image_key == image.image_key for row in self.rows.values())
        share = 1.0 if coming else self.resident.cached_tiles(image) / len(image.tiles)
        return expected_wait(len(self.rows), self.card.slots if self.card is not None else 0, share)

    def give(self, rows: Iterable[AcceptedRow]) -> None:
        """Hand rows of one reservation to the worker."""
        batch = list(rows)
        if self._worker is None:
            raise RuntimeError(f"{self.device} has no worker")
        if batch[0].quarantined:
            self._quarantined = batch[0]
        self.rows |= {row.id: row for row in batch}
        self._worker.send(Submit(batch[0].image, tuple(row.replay() for row in batch), batch[0].quarantined))

    def tell(self, message: Prefetch | Forget) -> None:
        """Send a message about an image, if there is a worker; a deletion also reaches the next one.

        A worker that dies may not have read it, and the feature folder outlives them all.
        """
        if isinstance(message, Forget) and self._settings.feature_folder is not None:
            self._deleted[message.image_key] = None
            if len(self._deleted) > MOST_DELETED:
                del self._deleted[next(iter(self._deleted))]
        if self._worker is not None:
            self._worker.send(message)

    def tell_others_idle(self, idle: bool) -> None:
        """Tell a worker that has rows whether it may use the cores of the others, if it does not know."""
        if self.rows and idle != self._knows_others_idle and self._worker is not None:
            self._knows_others_idle = idle
            self._worker.send(OthersIdle(idle))

    def revoke(self, image_key: ImageKey) -> None:
        """Do not repeat a deletion, because the image is here again."""
        self._deleted.pop(image_key, None)

    def take_back(self, ids: list[str]) -> None:
        """Cancel rows; the worker frees their slots with its next step."""
        for row_id in ids:
            self.rows.pop(row_id, None)
        if self._worker is not None and ids:
            self._worker.send(Cancel(tuple(ids)))

    def kill_if_stuck(self, after_s: float) -> None:
        """End a worker that has been silent for too long; it is then replaced like one that died by itself.

        A loading worker says nothing. How long a first load takes is unknown; later ones are measured by it, and each
        has twice the time of the one that was killed before it: imports alone take seconds on a busy machine.
        """
        if self.card is None:
            after_s = max(after_s, LOAD_PATIENCE * self._load_s)
            after_s = max(after_s, min(after_s * 2.0 ** min(self._failed_starts, 16), LONGEST_LOAD_S))
        if self._worker is not None and self.quiet_s > after_s:
            logger.error("%s made no progress for %.0f s: killed", self._name, self.quiet_s)
            self._worker.kill()

    def _message(self, message: FromWorker) -> None:
        self._progress_s = time.monotonic()
        match message:
            case StepDone():
                self._learn(message)
                self._on_step(self, message)
                self._clear_suspects(message.report)
            case Preparing(ids):
                self._preparing = ids
            case Started(ids):
                self._touched += filter(None, map(self.rows.get, ids))
                for row in self._touched:
                    row.started = True
            case Ready(card, tokenizer, load_s):
                logger.info("%s is ready after %.1f s", self._name, load_s)
                for line in card.memory:
                    logger.info("memory of %s: %s", self.device, line)
                self.card, self.tokenizer = card, tokenizer
                self._load_s, self._failed_starts = max(load_s, self._progress_s - self._started_s), 0
                deleted, self._deleted = self._deleted, {}
                for image_key in deleted:
                    self.tell(Forget(image_key))
                self._on_change(self, [])
            case LoadFailed(reason) if self.tokenizer is not None:  # loaded once, so not wrong: its files may be gone
                logger.error("the model cannot be loaded again on %s: %s", self.device, reason)
            case LoadFailed(reason):
                self._stopping = True
                self._on_failure(reason)

    def _clear_suspects(self, step: StepReport) -> None:
        """Clear the rows that a step touched and did not admit: if the worker dies from now on, they are not why.

        Encoding may still be under way on the device when its step ends. A step with tokens has waited for it.
        """
        if step.prefill_rows or step.decode_rows:
            for row in self._touched:
                row.started = row.admitted
            self._touched.clear()

    def _learn(self, step: StepDone) -> None:
        self.report = step.report
        self.costs = self.costs.after(step.report)
        self.resident.learn(step.cache)

    def _exited(self, code: int | None) -> None:
        was_ready, name = self.card is not None, self._name
        self.card, self._worker, self.report = None, None, StepReport()
        self._knows_others_idle = False
        self.resident.clear()
        self._touched.clear()
        for row in filter(None, map(self.rows.get, self._preparing)):
            row.started = True
        lost, self.rows, self._preparing = list(self.rows.values()), {}, ()
        if self._stopping:
            return
        self.deaths += 1
        self._failed_starts += not was_ready
        # A worker that became ready is replaced at once, however many did before it: requests wait, and what it died of
        # is found only by going on. Pauses are for what only time can mend.
        pause_s = min(LONGEST_PAUSE_S, 2.0 ** min(self._failed_starts, 16) - 1.0)
        logger.error(
            "%s ended with code %s while it had %s; next start in %.0f s",
            name, code, name_requests(row.row.origin for row in lost), pause_s,
        )  # fmt: skip
        self._restart = asyncio.get_running_loop().call_later(pause_s, self.start)
        self._on_change(self, lost)

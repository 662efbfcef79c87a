"""A replica of the engine on Ray Serve: one worker process of the service, on the device that Ray gives it.

Streams to whoever sends rows what comes of them. Knows no HTTP and no clients. Runs in an actor of Ray, on the event
loop of its user code.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

from deploy.ray.remote import ReplicaState
from model.request import CacheChanges
from model.tokenizer import TextTokenizer
from service.configuration.settings import load_settings
from service.dispatch.workers.worker_handle import WorkerProcess
from service.messages.from_worker import (
    Broken,
    Finished,
    FromWorker,
    LoadFailed,
    Preparing,
    Ready,
    Refused,
    RowEvent,
    Started,
    StepDone,
    StepReport,
)
from service.messages.to_worker import Cancel, Forget, Prefetch, Submit

ENDED = "the engine's process ended"

Inbox = asyncio.Queue[FromWorker | None]


class Engine:
    """A loaded model with the continuous batching loop."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Ray awaits it
        """Start the worker, and wait until its model is loaded.

        Raises:
            RuntimeError: it cannot be loaded; Ray shows why, and tries again.
        """
        self._settings = load_settings()
        self._inboxes: dict[str, Inbox] = {}  # by row
        self._preparing: tuple[str, ...] = ()  # ids of the rows that the worker takes up just now
        self._report, self._progress_s, self._ended = StepReport(), time.monotonic(), False
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._worker = WorkerProcess(self._settings, self._settings.devices, self._take, self._exited)
        ready = await self._ready
        self._card, self._tokenizer = ready.card, ready.tokenizer

    async def answer(self, submit: Submit) -> AsyncGenerator[FromWorker, None]:
        """Work on rows about one image, and yield what comes of them; whoever stops listening cancels them.

        Raises:
            RuntimeError: the engine's process ended, now or before: Ray takes seconds to end this replica.
        """
        if self._ended:
            raise RuntimeError(ENDED)
        inbox: Inbox = asyncio.Queue()
        left = {row.id for row in submit.rows}
        self._inboxes |= dict.fromkeys(left, inbox)
        self._worker.send(submit)
        try:
            while left:
                message = await inbox.get()
                if message is None:
                    raise RuntimeError(ENDED)
                if isinstance(message, StepDone):
                    left -= {each.id for each in message.events if isinstance(each, Finished | Refused | Broken)}
                yield message
        finally:
            if left:
                self._worker.send(Cancel(tuple(left)))
            for row in submit.rows:
                self._inboxes.pop(row.id, None)

    async def tell(self, message: Prefetch | Forget) -> None:
        """Encode an image when there is time, or forget one."""
        self._worker.send(message)

    async def state(self) -> ReplicaState:
        """Tell what is loaded and how busy it is."""
        return ReplicaState(self._card, self._report)

    async def tokenizer(self) -> TextTokenizer:
        """Return the model's tokenizer."""
        return self._tokenizer

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell the autoscaler how many rows are here, waiting or running, as a share of the slots."""
        return {"slots_asked": len(self._inboxes) / self._card.slots}

    async def check_health(self) -> None:
        """Check that the engine makes progress.

        Raises:
            RuntimeError: it does not; Ray ends this replica and starts another.
        """
        quiet_s = time.monotonic() - self._progress_s
        if self._ended or quiet_s > self._settings.step_timeout_s:
            raise RuntimeError(f"the engine has made no progress for {quiet_s:.0f} s")

    def _take(self, message: FromWorker) -> None:
        self._progress_s = time.monotonic()
        match message:
            case Ready():
                self._ready.set_result(message)
            case LoadFailed(reason):
                self._ready.set_exception(RuntimeError(f"the model cannot be loaded: {reason}"))
            case Preparing(ids):
                self._preparing = ids
            case Started():
                self._tell_of(message)
            case StepDone():
                self._report = message.report
                self._share(message)

    def _tell_of(self, started: Started) -> None:
        for inbox in {self._inboxes[each] for each in started.ids if each in self._inboxes}:
            inbox.put_nowait(started)

    def _share(self, step: StepDone) -> None:
        """Give each listener the events of its rows; the step's numbers are told once, or they would add up."""
        shares: dict[Inbox, list[RowEvent]] = {}
        for event in step.events:
            if event.id in self._inboxes:
                shares.setdefault(self._inboxes[event.id], []).append(event)
        report = step.report
        for inbox, events in shares.items():
            inbox.put_nowait(StepDone(tuple(events), report, CacheChanges()))
            report = replace(StepReport(), slots_used=report.slots_used, cache_bytes=report.cache_bytes)

    def _exited(self, code: int | None) -> None:
        self._ended = True
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(f"the engine's process ended with code {code} while it loaded"))
        self._tell_of(Started(self._preparing))  # whoever loses these rows must know that they may be why
        for inbox in {*self._inboxes.values()}:
            inbox.put_nowait(None)

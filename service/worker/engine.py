"""Continuous batching: one call of `step` plans, encodes, prefills, decodes and commits.

Drives a model runner and owns the state of every accepted row. Knows no HTTP, no pipes and no tensors; policy is
`service/worker/scheduling/scheduler.py`'s. Runs in the worker process (or in the offline commands), one thread.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from model.pixels.tiles import ImageKey, TiledImage
from model.request import DeviceMemoryError, TileSpan
from service.logs import request_fields
from service.messages.from_worker import (
    Admitted,
    Broken,
    Delta,
    Preempted,
    Preparing,
    Refused,
    RowEvent,
    Started,
    StepDone,
    StepReport,
)
from service.messages.rows import name_requests
from service.messages.to_worker import Submit
from service.worker.answer_length import NoRoomError
from service.worker.committer import Committer
from service.worker.new_rows import new_row
from service.worker.rows import EngineRow, Step
from service.worker.scheduling.planner import StepPlanner
from service.worker.scheduling.prefetch_queue import PrefetchQueue
from service.worker.scheduling.scheduler import Admission
from service.worker.scheduling.waiting_rows import WaitingRows

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner

logger = logging.getLogger("pheye.engine")


class Engine:
    """The continuous batching engine: rows come in, events go out.

    Args:
        runner: a loaded and warmed-up model.
        stall_s: how long a step may hold up decoding rows in order to encode and prefill others
            (`service/worker/scheduling/budget.py`).
        announce: told of rows before they are taken up or opened, and before the first step that works on them.
        use_cores: told before a step, when it changes, whether the step may use the cores of other workers, since it
            works for one row and they have none.
        clock: seconds; a simulation has one of its own.

    Attributes:
        others_idle: whether no other worker has any row.
    """

    def __init__(
        self,
        runner: ModelRunner,
        *,
        stall_s: float,
        announce: Callable[[Preparing | Started], None] = lambda _: None,
        use_cores: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self.others_idle = False
        self._alone = False
        self._use_cores = use_cores
        self._announce = announce
        self._waiting = WaitingRows(runner, announce)
        self._planner = StepPlanner(runner, self._waiting, stall_s=stall_s, announce=announce)
        self._queue = self._waiting.queue
        self._running: dict[int, EngineRow] = {}  # by slot
        self._committer = Committer(runner, self._running, self._queue)
        self._early: list[RowEvent] = []  # refusals, reported by the next step
        self._prefetch = PrefetchQueue(runner)
        self._changed = False  # what came, went or was cancelled between steps: the next step must report it

    @property
    def busy(self) -> bool:
        """True if a step would do or say anything."""
        return bool(self._waiting or self._running or self._prefetch or self._early or self._changed)

    def submit(self, message: Submit, came_s: float | None = None) -> None:
        """Accept rows, which came at `came_s`, or now; one that cannot fit is refused with the next step."""
        arrived_s = self._clock() if came_s is None else came_s
        if message.ahead:  # it runs alone, and must not be blamed for an image that nobody asks about
            self._prefetch.clear()
        for row in message.rows:
            self._announce(Preparing((row.id,)))
            try:
                accepted = new_row(self._runner, row, message.image, arrived_s)
                self._waiting.add(accepted, ahead=message.ahead)
            except NoRoomError as error:
                self._early.append(Refused(row.id, error.field, error.detail))
            except Exception:  # nobody has worked on it yet, so no other row is the worse for it
                logger.exception("a row could not be taken up")
                self._early.append(Broken(row.id, "it could not be taken up"))
        self._announce(Preparing())

    def prefetch(self, image: TiledImage) -> None:
        """Encode an image when there is time; the latest wishes count if there are too many."""
        if not self._prefetch.add(image):
            self._changed = True  # its features may have come into the cache just now, from tiles or the feature folder

    def forget(self, image_key: ImageKey) -> None:
        """Drop the features of an image."""
        self._prefetch.end(image_key)
        self._runner.forget(image_key)
        self._changed = True

    def cancel(self, ids: Iterable[str]) -> None:
        """Forget rows, wherever they are; unknown ids have finished already."""
        gone = set(ids)
        self._waiting.cancel(gone)
        for slot in [slot for slot, row in self._running.items() if row.id in gone]:
            self._committer.let_go(slot)
            self._changed = True

    def step(self) -> StepDone:
        """Run one step - plan, encode, prefill, decode, commit - and return everything that came of it."""
        started, held_up = self._clock(), bool(self._running)
        self._spread()
        step = Step(events=self._early)
        self._early, self._changed = [], False
        planned = self._planner.plan(self._running, self._prefetch.image_keys)
        if planned.encode:
            rows = self._waiting.about({span.image_key for span in planned.encode})
            with self._out_of_memory_fails([row.id for row in rows], step):
                self._encode(planned.encode, step)
        for slot in planned.preempt:
            self._preempt(slot, step)
        admissions = [each for each in planned.admit if each.id in self._waiting]
        if admissions:
            with self._out_of_memory_fails([each.id for each in admissions], step):
                self._prefill(admissions, step)
        if self._running:
            with self._out_of_memory_fails([row.id for row in self._running.values()], step):
                self._decode(step)
        report = self._completed(step, self._clock() - started, held_up=held_up)
        return StepDone(tuple(step.events), report, self._runner.take_cache_changes())

    def _spread(self) -> None:
        alone = self.others_idle and len(self._waiting) + len(self._running) == 1
        if alone != self._alone:
            self._alone = alone
            self._use_cores(alone)

    def _completed(self, step: Step, step_s: float, *, held_up: bool) -> StepReport:
        """Complete a step's report with what is known at its end; `held_up`: rows were decoding when it began."""
        found = self._waiting.take_lookups()
        return replace(
            step.report,
            step_s=step_s,
            stall_s=step.report.encode_s + step.report.prefill_s if held_up else 0.0,
            generated_tokens=sum(len(event.tokens) for event in step.events if isinstance(event, Delta)),
            cache_queries=found.images,
            cache_hits=found.cached_images,
            cached_tiles=found.cached_tiles,
            cache_bytes=self._runner.cache_bytes,
            slots_used=len(self._running),
            folder=self._runner.take_folder_counts(),
        )

    @contextmanager
    def _out_of_memory_fails(self, ids: Sequence[str], step: Step) -> Iterator[None]:
        """Fail only these rows if the device runs out of memory, and forget what is encoded for nobody yet."""
        try:
            yield
        except DeviceMemoryError as error:
            logger.warning("out of memory; %s fail: %s", self._named(ids), error)
            step.events += [Broken(row_id, "the device ran out of memory") for row_id in ids]
            self.cancel(ids)
            self._prefetch.clear()

    def _named(self, ids: Sequence[str]) -> str:
        """Name the requests of rows, waiting or running, for the log."""
        running = {row.id: row for row in self._running.values()}
        return name_requests(
            (running[each] if each in running else self._waiting[each]).row.origin
            for each in ids
            if each in running or each in self._waiting
        )

    def _preempt(self, slot: int, step: Step) -> None:
        """Take a row's slot; it waits again, first of its flow, with its features, to go on behind its latest token."""
        row = self._running.pop(slot)
        self._runner.release(slot)
        row.queued_since_s = self._clock()
        self._waiting.resume(row)
        step.events.append(Preempted(row.id))

    def _encode(self, spans: Sequence[TileSpan], step: Step) -> None:
        started = self._clock()
        self._runner.encode(spans)
        encode_s, tiles = self._clock() - started, sum(span.stop - span.start for span in spans)
        step.report = replace(step.report, encode_s=encode_s, encoded_tiles=tiles)
        self._planner.budget.encoded(tiles, encode_s)
        touched = {span.image_key for span in spans}
        rows = self._waiting.about(touched)
        for row in rows:
            row.encode_s += encode_s
            row.note("encode", started, started + encode_s)
        if rows:  # else all of it was encoded ahead
            self._queue.charge(Counter(row.flow for row in rows), encode_s)
        self._prefetch.end_encoded(touched)

    def _prefill(self, admissions: Sequence[Admission], step: Step) -> None:
        started = self._clock()
        rows = {admission.slot: self._waiting[admission.id] for admission in admissions}
        tokens = self._runner.prefill([row.in_slot(slot) for slot, row in rows.items()])
        prefill_s = self._clock() - started
        prompt_tokens = sum(len(row.prompt) for row in rows.values() if not row.resumed)  # a prompt counts once
        step.report = replace(step.report, prefill_s=prefill_s, prefill_rows=len(rows), prompt_tokens=prompt_tokens)
        self._planner.budget.prefilled(len(rows), prefill_s)
        self._queue.charge(Counter(row.flow for row in rows.values()), prefill_s)
        for (slot, row), token in zip(rows.items(), tokens, strict=True):
            self._waiting.leave(row.id)
            self._running[slot] = row
            step.events.append(Admitted(row.id, row.admit(started, prefill_s), row.resumed, row.encode_s))
            logger.debug("request %s has slot %d", row.row.origin, slot, extra=request_fields(row.row.origin))
            self._committer.commit(slot, token, step)

    def _decode(self, step: Step) -> None:
        started = self._clock()
        slots = sorted(self._running)
        tokens = self._runner.decode(slots)
        decode_s = self._clock() - started
        step.report = replace(step.report, decode_s=decode_s, decode_rows=len(slots))
        self._planner.budget.decoded(decode_s)
        self._queue.charge(Counter(self._running[slot].flow for slot in slots), decode_s)
        for slot, token in zip(slots, tokens, strict=True):
            row = self._running[slot]
            row.decode_s += decode_s
            row.note("decode", started, started + decode_s)
            self._committer.commit(slot, token, step)

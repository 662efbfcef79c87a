"""The loop's body: one call of `step` plans, encodes, prefills, decodes and commits.

Drives a model runner and owns the state of every accepted row. Knows no HTTP, no pipes and no tensors; policy is
`service/worker/scheduler.py`'s. Runs in the worker process (or in the offline commands), one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from model.request import NewRow, TileSpan
from model.tiles import ImageKey, TiledImage
from service.messages import (
    Admitted,
    Broken,
    Delta,
    Finished,
    Refused,
    RowEvent,
    Started,
    StepDone,
    Submit,
    Usage,
)
from service.worker.answer_length import NoRoomError, answer_tokens
from service.worker.budget import StepBudget
from service.worker.rows import EngineRow, Step
from service.worker.scheduler import Admission, WaitingRow, plan

if TYPE_CHECKING:
    from model.request import FinishReason
    from model.runtime.runner import ModelRunner

MAX_PREFETCH = 32  # each holds its tiles and its unfinished features


class Engine:
    """Rows in, events out.

    Args:
        runner: a loaded and warmed-up model.
        stall_s: how long a step may hold up decoding rows in order to encode and prefill others
            (`service/worker/budget.py`).
        announce: told of rows before the first step that works on them.
    """

    def __init__(
        self, runner: ModelRunner, *, stall_s: float, announce: Callable[[Started], None] = lambda _: None
    ) -> None:
        self._runner = runner
        self._budget = StepBudget(stall_s, runner.config.tiles, runner.slots)
        self._announce = announce
        self._waiting: dict[str, EngineRow] = {}  # first come first, but for those sent ahead
        self._opened: dict[str, EngineRow] = {}  # those of them whose image is being looked after
        self._running: dict[int, EngineRow] = {}  # by slot
        self._early: list[RowEvent] = []  # refusals, told with the next step
        self._prefetch: dict[ImageKey, TiledImage] = {}  # images nobody waits for yet, oldest first
        self._changed = (
            False  # something happened between two steps that must be told, though there may be nothing to do
        )
        self._hits = (0, 0)  # images looked up in the cache since the last step, and found there

    @property
    def busy(self) -> bool:
        """Whether a step would do or say anything."""
        return bool(self._waiting or self._running or self._prefetch or self._early or self._changed)

    def submit(self, message: Submit) -> None:
        """Accept rows; one that cannot fit is refused with the next step."""
        rows: dict[str, EngineRow] = {}
        for request in message.rows:
            prompt = self._runner.prompt(request.instruction)
            asked, context = request.sampling.max_tokens, self._runner.context_tokens
            try:
                max_tokens = answer_tokens(asked, len(prompt), context, may_shorten=request.may_shorten)
            except NoRoomError as error:
                self._early.append(Refused(request.id, error.field, error.detail))
                continue
            stream = self._runner.text_stream(request.sampling.stop)
            pieces = [stream.push(token) for token in request.given]  # its client has the text already
            rows[request.id] = EngineRow(request, message.image, prompt, max_tokens, stream, time.monotonic(), pieces)
        if message.ahead:
            self._waiting = rows | self._waiting
        else:
            self._waiting.update(rows)

    def prefetch(self, image: TiledImage) -> None:
        """Encode an image when there is time; the latest wishes count if there are too many."""
        if image.image_key in self._prefetch:
            return
        if len(self._prefetch) == MAX_PREFETCH:
            self._end_prefetch(next(iter(self._prefetch)))
        if self._runner.open_image(image):
            self._runner.close_image(image.image_key)  # its features are here, or on their way
        else:
            self._prefetch[image.image_key] = image

    def forget(self, image_key: ImageKey) -> None:
        """Drop the features of an image."""
        if image_key in self._prefetch:
            self._end_prefetch(image_key)
        self._runner.forget(image_key)
        self._changed = True

    def _end_prefetch(self, image_key: ImageKey) -> None:
        del self._prefetch[image_key]
        self._runner.close_image(image_key)

    def cancel(self, ids: Iterable[str]) -> None:
        """Forget rows, wherever they are; unknown ids have finished already."""
        gone = set(ids)
        for row_id in gone & self._waiting.keys():
            self._leave_waiting(row_id)
        for slot in [slot for slot, row in self._running.items() if row.request.id in gone]:
            self._let_go(slot)
            self._changed = True

    def step(self) -> StepDone:
        """Plan, encode, prefill, decode, commit; everything that came of it."""
        started, held_up = time.monotonic(), bool(self._running)
        step = Step(events=self._early)
        self._early, self._changed = [], False
        self._open_images()
        spans, admissions = self._plan(decoding=held_up)
        if spans:
            self._encode(spans, step)
        if admissions:
            self._prefill(admissions, step)
        if self._running:
            self._decode(step)
        hits, self._hits = self._hits, (0, 0)
        report = step.report(
            step_s=time.monotonic() - started,
            held_up=held_up,
            hits=hits,
            cache_bytes=self._runner.cache_bytes,
            slots=len(self._running),
        )
        return StepDone(tuple(step.events), report, self._runner.take_cache_changes())

    def _open_images(self) -> None:
        """Look after the images of the first waiting rows, as many as there are slots: features wait for rows here."""
        for row_id in list(self._waiting)[: self._runner.slots]:
            if row_id not in self._opened:
                row = self._waiting[row_id]
                row.cached = self._runner.open_image(row.image)
                self._opened[row_id] = row
                queries, found = self._hits
                self._hits = (queries + 1, found + row.cached)

    def _plan(self, *, decoding: bool) -> tuple[tuple[TileSpan, ...], tuple[Admission, ...]]:
        waiting = [WaitingRow(row_id, row.image_key) for row_id, row in self._waiting.items() if row_id in self._opened]
        wanted = [*(row.image_key for row in self._opened.values()), *self._prefetch]
        encoded = {image_key: self._runner.encoded_tiles(image_key) for image_key in wanted}
        free = [slot for slot in range(self._runner.slots) if slot not in self._running]
        tiles, prompts = self._budget.tiles(decoding=decoding), self._budget.prompts(decoding=decoding)
        step = plan(waiting, encoded, self._runner.config.tiles, free, tiles, prompts, list(self._prefetch))
        touched = {span.image_key for span in step.encode}
        admitted = {admission.id for admission in step.admit}
        ids = tuple(row.id for row in waiting if row.image_key in touched or row.id in admitted)
        if ids:
            self._announce(Started(ids))
        return step.encode, step.admit

    def _encode(self, spans: Sequence[TileSpan], step: Step) -> None:
        started = time.monotonic()
        self._runner.encode(spans)
        step.encode_s = time.monotonic() - started
        step.encoded_tiles = sum(span.stop - span.start for span in spans)
        self._budget.encoded(step.encoded_tiles, step.encode_s)
        touched = {span.image_key for span in spans}
        for row in self._opened.values():
            if row.image_key in touched:
                row.encode_s += step.encode_s
        for image_key in touched & self._prefetch.keys():
            if self._runner.encoded_tiles(image_key) == self._runner.config.tiles:
                self._end_prefetch(image_key)

    def _prefill(self, admissions: Sequence[Admission], step: Step) -> None:
        started = time.monotonic()
        rows = {admission.slot: self._waiting[admission.id] for admission in admissions}
        tokens = self._runner.prefill(
            [
                NewRow(slot, row.image_key, row.prompt, row.request.given, row.request.sampling, row.request.explain)
                for slot, row in rows.items()
            ]
        )
        step.prefill_s = time.monotonic() - started
        step.prefill_rows, step.prompt_tokens = len(rows), sum(len(row.prompt) for row in rows.values())
        self._budget.prefilled(len(rows), step.prefill_s)
        for (slot, row), token in zip(rows.items(), tokens, strict=True):
            self._leave_waiting(row.request.id)
            self._running[slot] = row
            row.admitted_s, row.prefill_s = started, step.prefill_s
            step.events.append(Admitted(row.request.id, started - row.arrived_s))
            self._commit(slot, token, step)

    def _decode(self, step: Step) -> None:
        started = time.monotonic()
        slots = sorted(self._running)
        tokens = self._runner.decode(slots)
        step.decode_s, step.decode_rows = time.monotonic() - started, len(slots)
        for slot, token in zip(slots, tokens, strict=True):
            self._running[slot].decode_s += step.decode_s
            self._commit(slot, token, step)

    def _commit(self, slot: int, token: int | None, step: Step) -> None:
        """Give a row its token, and let it go if that was the last one."""
        row = self._running[slot]
        if token is None:
            step.events.append(Broken(row.request.id, "the model produced numbers that are not finite"))
            self._let_go(slot, failed=True)
            return
        ended = token == self._runner.eos_id
        text = "" if ended else row.stream.push(token)
        row.pieces.append(text)
        step.generated_tokens += 1
        step.events.append(Delta(row.request.id, (token,), text))
        if ended or row.stream.stopped:
            step.events.append(self._finished(slot, "stop"))
        elif len(row.pieces) == row.max_tokens:
            step.events.append(self._finished(slot, "length"))
        else:
            return
        self._let_go(slot)

    def _finished(self, slot: int, reason: FinishReason) -> Finished:
        row = self._running[slot]
        usage = Usage(
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.pieces),
            image_tokens=self._runner.config.image_tokens,
            image_tiles=self._runner.config.tiles,
            image_features_cached=row.cached,
        )
        rest = row.stream.finish()
        row.pieces[-1] += rest
        explanation = self._runner.explain(slot, row.pieces) if row.request.explain else None
        return Finished(row.request.id, rest, reason, usage, row.timings(), explanation)

    def _leave_waiting(self, row_id: str) -> None:
        row = self._waiting.pop(row_id)
        if self._opened.pop(row_id, None) is not None:
            self._runner.close_image(row.image_key)

    def _let_go(self, slot: int, *, failed: bool = False) -> None:
        del self._running[slot]
        self._runner.release(slot, failed=failed)

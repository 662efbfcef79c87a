"""The loop's body: one call of `step` plans, encodes, prefills, decodes and commits.

Drives a model runner and owns the state of every accepted row. Knows no HTTP, no pipes and no tensors; policy is
`service/scheduler.py`'s. Runs in the worker process (or in the offline commands), one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.request import NewRow, TileSpan
from model.tiles import TiledImage
from service.budget import StepBudget
from service.messages import (
    Admitted,
    Broken,
    Delta,
    Finished,
    Refused,
    Row,
    RowEvent,
    RowTimings,
    Started,
    StepDone,
    StepReport,
    Submit,
    Usage,
)
from service.scheduler import Admission, WaitingRow, plan

if TYPE_CHECKING:
    from model.request import FinishReason
    from model.runner import ModelRunner
    from model.tokenizer import TextStream


@dataclass(slots=True)
class _Row:
    """Everything about one accepted row."""

    request: Row
    image: TiledImage
    prompt: tuple[int, ...]
    max_tokens: int
    stream: TextStream
    arrived_s: float
    tokens: int  # generated so far, those given to its client before a restart included
    cached: bool = False
    admitted_s: float = 0.0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0

    @property
    def key(self) -> str:
        return self.image.pixels_sha256


@dataclass(slots=True)
class _Step:
    """What one step has to say, while it is still being made."""

    events: list[RowEvent] = field(default_factory=list)
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    prefill_rows: int = 0
    decode_rows: int = 0
    encoded_tiles: int = 0


class Engine:
    """Rows in, events out.

    Args:
        runner: a loaded and warmed-up model.
        stall_s: how long a step may hold up decoding rows in order to encode and prefill others (`service/budget.py`).
        announce: told of rows before the first step that works on them.
    """

    def __init__(
        self, runner: ModelRunner, *, stall_s: float, announce: Callable[[Started], None] = lambda _: None
    ) -> None:
        self._runner = runner
        self._budget = StepBudget(stall_s, runner.config.tiles, runner.slots)
        self._announce = announce
        self._waiting: dict[str, _Row] = {}  # in the order they came
        self._opened: dict[str, _Row] = {}  # those of them whose image is being looked after
        self._running: dict[int, _Row] = {}  # by slot
        self._early: list[RowEvent] = []  # refusals, told with the next step
        self._freed = False  # slots were freed since the last step: it must be told, though there may be nothing to do
        self._queries = self._hits = 0

    @property
    def busy(self) -> bool:
        """Whether a step would do or say anything."""
        return bool(self._waiting or self._running or self._early or self._freed)

    def submit(self, message: Submit) -> None:
        """Accept rows; one that cannot fit is refused with the next step."""
        for request in message.rows:
            prompt = self._runner.prompt(request.instruction)
            room = self._runner.context_tokens - len(prompt)
            max_tokens = min(request.sampling.max_tokens, room) if request.may_shorten else request.sampling.max_tokens
            if not 0 < max_tokens <= room:
                self._early.append(self._refusal(request, len(prompt)))
                continue
            stream = self._runner.text_stream(request.sampling.stop)
            for token in request.given:
                stream.push(token)  # its client has the text already
            now, given = time.monotonic(), len(request.given)
            self._waiting[request.id] = _Row(request, message.image, prompt, max_tokens, stream, now, given)

    def _refusal(self, request: Row, prompt_tokens: int) -> Refused:
        room, asked = self._runner.context_tokens, request.sampling.max_tokens
        if prompt_tokens >= room:
            return Refused(
                request.id, "question", f"its prompt of {prompt_tokens} tokens fills the context of {room} tokens"
            )
        return Refused(
            request.id,
            "settings.max_tokens",
            f"{asked} and a prompt of {prompt_tokens} tokens exceed the context of {room} tokens; lower it, or shorten "
            "the question",
        )

    def cancel(self, ids: Iterable[str]) -> None:
        """Forget rows, wherever they are; unknown ids have finished already."""
        gone = set(ids)
        for row_id in gone & self._waiting.keys():
            self._leave_waiting(row_id)
        for slot in [slot for slot, row in self._running.items() if row.request.id in gone]:
            self._let_go(slot)
            self._freed = True

    def step(self) -> StepDone:
        """Plan, encode, prefill, decode, commit; everything that came of it."""
        started, held_up = time.monotonic(), bool(self._running)
        step = _Step(events=self._early)
        self._early, self._freed = [], False
        self._open_images()
        spans, admissions = self._plan(decoding=held_up)
        if spans:
            self._encode(spans, step)
        if admissions:
            self._prefill(admissions, step)
        if self._running:
            self._decode(step)
        return StepDone(tuple(step.events), self._report(step, started, held_up))

    def _open_images(self) -> None:
        """Look after the images of the first waiting rows, as many as there are slots: features wait for rows here."""
        for row_id in list(self._waiting)[: self._runner.slots]:
            if row_id not in self._opened:
                row = self._waiting[row_id]
                row.cached = self._runner.open_image(row.image)
                self._opened[row_id] = row
                self._queries += 1
                self._hits += row.cached

    def _plan(self, *, decoding: bool) -> tuple[tuple[TileSpan, ...], tuple[Admission, ...]]:
        waiting = [WaitingRow(row_id, row.key) for row_id, row in self._opened.items()]
        encoded = {row.key: self._runner.encoded_tiles(row.key) for row in self._opened.values()}
        free = [slot for slot in range(self._runner.slots) if slot not in self._running]
        tiles, prompts = self._budget.tiles(decoding=decoding), self._budget.prompts(decoding=decoding)
        step = plan(waiting, encoded, self._runner.config.tiles, free, tiles, prompts)
        touched = {span.image for span in step.encode}
        admitted = {admission.id for admission in step.admit}
        ids = tuple(row.id for row in waiting if row.image in touched or row.id in admitted)
        if ids:
            self._announce(Started(ids))
        return step.encode, step.admit

    def _encode(self, spans: Sequence[TileSpan], step: _Step) -> None:
        started = time.monotonic()
        self._runner.encode(spans)
        step.encode_s = time.monotonic() - started
        step.encoded_tiles = sum(span.stop - span.start for span in spans)
        self._budget.encoded(step.encoded_tiles, step.encode_s)
        touched = {span.image for span in spans}
        for row in self._opened.values():
            if row.key in touched:
                row.encode_s += step.encode_s

    def _prefill(self, admissions: Sequence[Admission], step: _Step) -> None:
        started = time.monotonic()
        rows = {admission.slot: self._waiting[admission.id] for admission in admissions}
        tokens = self._runner.prefill(
            [NewRow(slot, row.key, row.prompt, row.request.given, row.request.sampling) for slot, row in rows.items()]
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

    def _decode(self, step: _Step) -> None:
        started = time.monotonic()
        slots = sorted(self._running)
        tokens = self._runner.decode(slots)
        step.decode_s, step.decode_rows = time.monotonic() - started, len(slots)
        for slot, token in zip(slots, tokens, strict=True):
            self._running[slot].decode_s += step.decode_s
            self._commit(slot, token, step)

    def _commit(self, slot: int, token: int | None, step: _Step) -> None:
        """Give a row its token, and let it go if that was the last one."""
        row = self._running[slot]
        if token is None:
            step.events.append(Broken(row.request.id, "the model produced numbers that are not finite"))
            self._let_go(slot, failed=True)
            return
        row.tokens += 1
        step.generated_tokens += 1
        ended = token == self._runner.eos_id
        text = "" if ended else row.stream.push(token)
        step.events.append(Delta(row.request.id, (token,), text))
        if ended or row.stream.stopped:
            step.events.append(self._finished(row, "stop"))
        elif row.tokens == row.max_tokens:
            step.events.append(self._finished(row, "length"))
        else:
            return
        self._let_go(slot)

    def _finished(self, row: _Row, reason: FinishReason) -> Finished:
        usage = Usage(
            prompt_tokens=len(row.prompt),
            completion_tokens=row.tokens,
            image_tokens=self._runner.config.image_tokens,
            image_tiles=self._runner.config.tiles,
            image_features_cached=row.cached,
        )
        queue_s = max(0.0, row.admitted_s - row.arrived_s - row.encode_s)
        timings = RowTimings(queue_s, row.encode_s, row.prefill_s, row.decode_s)
        return Finished(row.request.id, row.stream.finish(), reason, usage, timings)

    def _leave_waiting(self, row_id: str) -> None:
        row = self._waiting.pop(row_id)
        if self._opened.pop(row_id, None) is not None:
            self._runner.close_image(row.key)

    def _let_go(self, slot: int, *, failed: bool = False) -> None:
        del self._running[slot]
        self._runner.release(slot, failed=failed)

    def _report(self, step: _Step, started: float, held_up: bool) -> StepReport:
        report = StepReport(
            encode_s=step.encode_s,
            prefill_s=step.prefill_s,
            decode_s=step.decode_s,
            step_s=time.monotonic() - started,
            stall_s=step.encode_s + step.prefill_s if held_up else 0.0,
            encoded_tiles=step.encoded_tiles,
            prefill_rows=step.prefill_rows,
            prompt_tokens=step.prompt_tokens,
            decode_rows=step.decode_rows,
            generated_tokens=step.generated_tokens,
            cache_queries=self._queries,
            cache_hits=self._hits,
            cache_bytes=self._runner.cache_bytes,
            slots_used=len(self._running),
        )
        self._queries = self._hits = 0
        return report

"""Decode steps of fixed shapes: recorded once as CUDA graphs, replayed with other rows.

Launching a step's kernels one by one takes Python several times as long as a GPU takes to run them. So each batch size
of `BUCKETS` is recorded while the model warms up, over tensors that never move: which rows, where they stand, what they
look at, how their tokens are chosen. A batch is padded to the next bucket. Tokens are chosen on the device and stay
there for the next step; the host copies B token ids a step. On a CPU the same steps run without being recorded, which
is how they are tested.

Owns those tensors and the graphs; knows neither requests nor text. Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.network.decoder import StepBatch
from model.network.kernels.groups import DecodeGroups
from model.network.pheye import Pheye
from model.network.slots import Slots
from model.request import Sampling, TokenLogprob
from model.runtime.sampling.device import choose_on_device
from model.runtime.sampling.logprobs import with_top

BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)
_WARM_UP_RUNS = 2  # before a graph is recorded: kernels are compiled and workspaces allocated in them


@dataclass(frozen=True, slots=True)
class StepRow:
    """State of a row that was just given a token outside of these steps.

    Attributes:
        slot: its row slot.
        token: the token, which the next step appends.
        length: tokens in its slot, without that one.
        given: tokens it has been given, that one included.
        sampling: how its tokens are chosen.
    """

    slot: int
    token: int
    length: int
    given: int
    sampling: Sampling


class _RowState:
    """State of each row slot on the device: last token, length, sampling settings; one more place for padding rows."""

    def __init__(self, slots: int, device: torch.device) -> None:
        def zeros(dtype: torch.dtype) -> Tensor:
            return torch.zeros(slots + 1, device=device, dtype=dtype)

        self.token, self.given, self.seed = (zeros(torch.int64) for _ in range(3))
        self.length = zeros(torch.int32)
        self.temperature, self.top_p = (zeros(torch.float64) for _ in range(2))
        self._device = device

    def enter(self, rows: Sequence[StepRow]) -> None:
        """Copy the state of rows from the host."""
        whole = torch.tensor(
            [[row.slot, row.token, row.length, row.given, row.sampling.seed] for row in rows], device=self._device
        )
        slot, self.token[slot], length, self.given[slot], self.seed[slot] = self._columns(whole)
        self.length[slot] = length.int()
        real = torch.tensor(
            [[row.sampling.divisor, row.sampling.top_p] for row in rows], device=self._device, dtype=torch.float64
        )
        self.temperature[slot], self.top_p[slot] = real.unbind(1)

    @staticmethod
    def _columns(whole: Tensor) -> tuple[Tensor, ...]:
        return whole.unbind(1)


class _Bucket:
    """Inputs of a step for up to `size` rows, and the step itself once it is recorded."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = size
        self.device = device
        self.rows = DecodeGroups.alone([-1] * size, device)
        self.images = DecodeGroups.shared([-1] * size, device)
        self.seen: object = None  # what the inputs were last filled with
        self.results: dict[bool, Tensor] = {}  # by whether rows are sampled: where the recorded step leaves its tokens
        self.graphs: dict[bool, torch.cuda.CUDAGraph] = {}

    def fill(self, slots: Sequence[int], images: Sequence[int]) -> None:
        """Set the rows of the next step, if they are others than those of the last."""
        if self.seen == (slots, images):
            return
        self.seen = (slots, images)
        padding = [-1] * (self.size - len(slots))
        self.rows.copy_(DecodeGroups.alone([*slots, *padding]))
        self.images.copy_(DecodeGroups.shared([*images, *padding]))


class DecodeSteps:
    """Decode steps over one model's slots.

    Args:
        model: the fast path.
        slots: its slots.
        record: whether steps are recorded as CUDA graphs; otherwise they run as they are written.
    """

    def __init__(self, model: Pheye, slots: Slots, *, record: bool) -> None:
        self._model = model
        self._slots = slots
        self._record = record
        self._state = _RowState(len(slots), model.device)
        # Of every token after the latest step: in one place whatever its size, so that no graph has its own.
        self._logprobs = torch.zeros(len(slots), model.config.decoder.vocab_size, device=model.device)
        sizes = [size for size in BUCKETS if size < len(slots)]
        self._buckets = [_Bucket(size, model.device) for size in (*sizes, len(slots))]
        self._pool: Any = None  # of memory, which graphs share since only one runs at a time

    def enter(self, rows: Sequence[StepRow]) -> None:
        """Add rows that were prefilled, or given a token by another kind of step."""
        if rows:
            self._state.enter(rows)

    def decode(
        self, slots: Sequence[int], *, sampled: bool, tops: Sequence[int]
    ) -> tuple[list[int | None], list[TokenLogprob]]:
        """Decode one more token for each of these rows, and return it with its log-probability.

        A token is None where a row's logits are not finite.

        Args:
            slots: of the rows.
            sampled: whether any of them has a temperature above 0.
            tops: how many alternatives each of them is told.
        """
        bucket = next(bucket for bucket in self._buckets if bucket.size >= len(slots))
        bucket.fill(tuple(slots), tuple(self._slots.image_slot(slot) for slot in slots))
        tokens, chosen = self._run(bucket, sampled)[:, : len(slots)].tolist()
        for slot in slots:
            self._slots.lengths[slot] += 1
        logprobs = with_top(chosen, self._logprobs, tops)
        return [int(token) if token >= 0 else None for token in tokens], logprobs

    def warm_up(self) -> None:
        """Record every step, the largest first, so that the smaller ones find its memory."""
        for bucket in reversed(self._buckets):
            for sampled in (False, True):
                self._run(bucket, sampled)

    def _run(self, bucket: _Bucket, sampled: bool) -> Tensor:
        if not self._record:
            return self._step(bucket, sampled)
        if sampled not in bucket.graphs:
            self._capture(bucket, sampled)
        bucket.graphs[sampled].replay()
        return bucket.results[sampled]

    def _capture(self, bucket: _Bucket, sampled: bool) -> None:
        """Record a step; the runs before it are of padding rows alone, and so change nothing."""
        filled = bucket.seen
        bucket.fill((), ())
        stream = torch.cuda.Stream(self._model.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._model.device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_RUNS):
                self._step(bucket, sampled)
        torch.cuda.current_stream(self._model.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            bucket.results[sampled] = self._step(bucket, sampled)
        self._pool = self._pool or graph.pool()
        bucket.graphs[sampled] = graph
        if filled is not None:
            bucket.fill(*filled)  # type: ignore[misc]

    def _step(self, bucket: _Bucket, sampled: bool) -> Tensor:
        """Run one step over a bucket's inputs: tokens, -1 for failed and for padding rows, and their log-probabilities.

        Both are in one tensor, for one copy to the host; float64 holds every token exactly [2, size].
        """
        state, row = self._state, bucket.rows.row_slot
        place = torch.where(row < 0, len(self._slots), row).long()  # [size]
        positions = state.length[place]
        state.length[place] = positions + 1
        batch = StepBatch(row, positions, state.length, bucket.rows, bucket.images)
        logits = self._model.step(state.token[place], batch, self._slots)
        if sampled:
            tokens = choose_on_device(
                logits, state.temperature[place], state.top_p[place], state.seed[place], state.given[place]
            )
        else:
            best = logits.max(dim=-1)
            tokens = best.indices.masked_fill(~torch.isfinite(best.values), -1)
        known = tokens.clamp(0, logits.shape[-1] - 1)  # -1 is none; a kernel that only compiles leaves any number
        logprobs = self._logprobs[: bucket.size]
        torch.log_softmax(logits, dim=-1, dtype=torch.float32, out=logprobs)
        chosen = logprobs.gather(-1, known.unsqueeze(-1)).squeeze(-1)
        state.token[place] = known
        state.given[place] += 1
        state.length[-1:].zero_()
        return torch.stack([tokens.double(), chosen.double()])

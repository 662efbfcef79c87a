"""Next token of every running row: by steps of fixed shapes where there are any, else by a pass over whatever comes.

Knows neither prompts nor images. Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from model.network.cross_attention import AttentionRecorder
from model.network.pheye import Pheye
from model.network.slots import Slots
from model.request import TokenLogprob
from model.runtime.decode_steps import DecodeSteps
from model.runtime.device_memory import with_room, with_room_once
from model.runtime.running_rows import RunningRows
from model.runtime.sampling.host import choose
from model.runtime.sampling.logprobs import token_logprobs


class TokenDecoder:
    """The decoding of rows that hold a slot, a token of each at a time.

    Args:
        model: the fast path.
        slots: its slots, with the rows' prompts.
        running: the rows.
        steps: decode steps of fixed shapes; None for none.
        make_room: frees memory, if a step runs out of it.
    """

    def __init__(
        self,
        model: Pheye,
        slots: Slots,
        running: RunningRows,
        steps: DecodeSteps | None,
        make_room: Callable[[], None],
    ) -> None:
        self._model = model
        self._slots = slots
        self._running = running
        self._steps = steps
        self._make_room = make_room

    def decode(self, slots: Sequence[int]) -> list[int | None]:
        """Decode one more token for each of these rows, None for a failed row; steps of fixed shapes explain nothing.

        Raises:
            DeviceMemoryError: the rows still hold their slots, but are of no more use.
        """
        rows = [self._running[slot] for slot in slots]
        if self._steps is not None and all(row.attention is None for row in rows):
            sampled = any(not row.sampling.greedy for row in rows)
            steps = self._steps
            tops = self._running.tops(slots)
            told = with_room_once(lambda: steps.decode(slots, sampled=sampled, tops=tops), self._make_room)
            return self._running.append(slots, *told)
        explained = {place: range(1) for place, row in enumerate(rows) if row.attention is not None}

        def append() -> tuple[Tensor, AttentionRecorder | None]:
            recorder = AttentionRecorder.over(explained)
            return self._model.decode(self._slots, slots, [row.last_token for row in rows], recorder), recorder

        logits, recorder = with_room(append, self._make_room)
        self._running.record(slots, recorder)
        return self.choose(slots, logits)

    def choose(self, slots: Sequence[int], logits: Tensor) -> list[int | None]:
        """Choose the next token of each row from its logits [B, vocabulary], and tell the steps of fixed shapes."""
        rows = [self._running[slot] for slot in slots]
        samplings, given = [row.sampling for row in rows], [row.given_tokens for row in rows]
        tops = self._running.tops(slots)

        def told() -> tuple[list[int | None], list[TokenLogprob]]:
            tokens = choose(logits, samplings, given)
            return tokens, token_logprobs(logits, tokens, tops)

        tokens = self._running.append(slots, *with_room(told, self._make_room))
        if self._steps is not None:
            self._steps.enter(self._running.step_rows(slots, self._slots.lengths))
        return tokens

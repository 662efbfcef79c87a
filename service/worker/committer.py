"""The commit of a step: each row gets its token, its client is told of it, and a row that is complete leaves its slot.

Knows neither plan nor clock. Runs where the engine does, one thread.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from model.about import is_outside_answer
from model.request import TokenLogprob
from service.logs import request_fields
from service.messages.from_worker import Broken, Delta, Finished
from service.worker.rows import EngineRow, Step
from service.worker.scheduling.fair_queue import WeightedFairQueue

if TYPE_CHECKING:
    from model.request import ChosenChoice, FinishReason
    from model.runtime.runner import ModelRunner

logger = logging.getLogger("pheye.engine")


class Committer:
    """The end of a step for rows that hold a slot.

    Args:
        runner: whose slots they hold.
        running: the rows by slot; those that are complete are taken out.
        queue: told of rows that are over.
    """

    def __init__(self, runner: ModelRunner, running: dict[int, EngineRow], queue: WeightedFairQueue) -> None:
        self._runner = runner
        self._running = running
        self._queue = queue

    def commit(self, slot: int, token: int | None, step: Step) -> None:
        """Give a row its token, and let it go if that was the last one."""
        row = self._running[slot]
        if token is None:
            logger.error(
                "request %s fails: the model produced numbers that are not finite", row.row.origin,
                extra=request_fields(row.row.origin),
            )  # fmt: skip
            step.events.append(Broken(row.id, "the model produced numbers that are not finite"))
            self.let_go(slot, failed=True)
            return
        if row.choices is not None:
            self._answer(slot, step)
            return
        ended = token == self._runner.eos_id
        text = "" if ended else row.stream.push(token)
        row.pieces.append(text)
        row.tokens.append(token)
        step.events.append(Delta(row.id, (token,), text, (self._runner.logprob(slot),), row.stream.shown_tokens))
        if ended or row.stream.stopped:
            step.events.append(self._finished(slot, "stop"))
        elif len(row.pieces) == row.max_tokens:
            step.events.append(self._finished(slot, "length"))
        else:
            return
        self.let_go(slot)

    def _answer(self, slot: int, step: Step) -> None:
        """Give a row all tokens of the choice that it takes, and let it go."""
        row, choice = self._running[slot], self._runner.choice(slot)
        assert choice is not None
        row.tokens += choice.tokens
        row.pieces += [*(row.stream.push(token) for token in choice.tokens[:-1]), ""]
        logprobs = tuple(map(TokenLogprob, choice.logprobs))
        text = row.row.choices[choice.index]
        step.events.append(Delta(row.id, choice.tokens, text, logprobs, row.stream.shown_tokens))
        step.events.append(self._finished(slot, "stop", choice))
        self.let_go(slot)

    def _finished(self, slot: int, reason: FinishReason, choice: ChosenChoice | None = None) -> Finished:
        row = self._running[slot]
        origin = row.row.origin
        logger.debug(
            "request %s is answered: %d tokens, %s", origin, len(row.pieces), reason, extra=request_fields(origin)
        )
        rest = row.stream.finish()
        row.pieces[-1] += rest
        explanation = self._runner.explain(slot, row.pieces) if row.row.explain else None
        return Finished(
            row.id,
            rest,
            reason,
            row.usage(self._runner.config),
            row.timings(),
            explanation,
            shown_tokens=row.stream.shown_tokens,
            probabilities=choice.probabilities if choice else (),
            outside=choice.refused if choice else is_outside_answer("".join(row.pieces), self._runner.outside_answer),
            phases=row.phases,
        )

    def let_go(self, slot: int, *, failed: bool = False) -> None:
        """Take a row that is over out of its slot; `failed`: what the slot holds may be no numbers."""
        row = self._running.pop(slot)
        self._queue.end(row.flow)
        self._runner.release(slot, failed=failed)

"""The planner: it gathers what the scheduler has to know of rows, slots and features, and asks it for the next step.

Owns the budgets, which it learns from what steps took. Policy is `service.worker.scheduling.scheduler`'s. Engine's
thread only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from model.pixels.tiles import ImageKey
from service.messages.from_worker import Started
from service.messages.rows import Flow
from service.worker.rows import EngineRow
from service.worker.scheduling.budget import StepBudget
from service.worker.scheduling.fairness import SlotHolder, fair_shares, light_flows
from service.worker.scheduling.scheduler import Sharing, StepPlan, plan
from service.worker.scheduling.waiting_rows import WaitingRows

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner


class StepPlanner:
    """Plans steps over the waiting and the running rows.

    Args:
        runner: whose slots and features there are.
        waiting: the rows without a slot.
        stall_s: how long a step may hold up decoding rows in order to encode and prefill others.
        announce: told of rows before the first step that works on them.

    Attributes:
        budget: how many tiles and rows a step may take up; told what each step took.
    """

    def __init__(
        self, runner: ModelRunner, waiting: WaitingRows, *, stall_s: float, announce: Callable[[Started], None]
    ) -> None:
        self.budget = StepBudget(stall_s, runner.config.tiles, runner.slots)
        self._runner = runner
        self._waiting = waiting
        self._announce = announce

    def plan(self, running: Mapping[int, EngineRow], prefetch: Sequence[ImageKey]) -> StepPlan:
        """Plan the next step.

        Args:
            running: the rows with a slot, by slot.
            prefetch: images that nobody waits for yet.
        """
        held = Counter(row.flow for row in running.values())
        shares = fair_shares(self._waiting.queue.rows, held, self._runner.slots)
        rows = self._waiting.open_first(held, shares)
        waiting = {row_id: row.image_key for row_id, row in rows.items()}
        encoded = {key: self._runner.encoded_tiles(key) for key in (*waiting.values(), *prefetch)}
        free = [slot for slot in range(self._runner.slots) if slot not in running]
        tiles, prompts = self._budgets(rows.values(), encoded, shares, decoding=bool(running))
        sharing = _sharing(rows.values(), running, shares) if len(shares) > 1 else None
        ahead = self.budget.ahead(decoding=bool(running))
        step = plan(waiting, encoded, self._runner.config.tiles, free, tiles, prompts, prefetch, ahead, sharing)
        touched = {span.image_key for span in step.encode}
        admitted = {admission.id for admission in step.admit}
        ids = tuple(row_id for row_id, key in waiting.items() if key in touched or row_id in admitted)
        if ids:
            self._announce(Started(ids))
        return step

    def _budgets(
        self,
        rows: Iterable[EngineRow],
        encoded: Mapping[ImageKey, int],
        shares: Mapping[Flow, float],
        *,
        decoding: bool,
    ) -> tuple[int, int]:
        """Return how many tiles and rows the step may take up: few but for flows that ask for less than their share."""
        budget, light = self.budget, light_flows(self._waiting.queue.rows, shares)
        tiles, prompts = budget.tiles(decoding=decoding), budget.prompts(decoding=decoding)
        if light:
            first = [row for row in rows if row.flow in light]
            missing = sum(self._runner.config.tiles - encoded[key] for key in {row.image_key for row in first})
            tiles = max(min(tiles, missing), budget.tiles(decoding=decoding, lean=True))
            prompts = max(min(prompts, len(first)), budget.prompts(decoding=decoding, lean=True))
        return tiles, prompts


def _sharing(waiting: Iterable[EngineRow], running: Mapping[int, EngineRow], shares: Mapping[Flow, float]) -> Sharing:
    holders = [
        SlotHolder(slot, row.flow, len(row.tokens), len(row.tokens) - row.slot_tokens) for slot, row in running.items()
    ]
    return Sharing({row.id: row.flow for row in waiting}, holders, shares)

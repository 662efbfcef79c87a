"""The budget of a step: how much may be encoded and prefilled while other answers are held up.

Owns two running averages. Knows no clock: it is told what things took. Engine's thread only.
"""

from __future__ import annotations

from service.moving_average import moving_average

IDLE_STALL_S = 1.0  # bound of a step in which nobody decodes: it is also how long a cancellation may take
MAX_TILES = 80  # bounds the memory of one vision batch
SMOOTHING = 0.3  # weight of the newest measurement
LEAN_SHARE = 0.5  # of the time of decode steps: what lean steps spend on taking up rows, on average
MOST_DEBT_STEPS = 8  # decode steps by which that may be overdrawn


class StepBudget:
    """The budget of tiles and prompts for each step, learnt from measured costs.

    One tile and one prompt are always allowed, or nothing would ever start: the bound on a stall is the larger of
    `stall_s` and what one tile costs, plus the same for prompts.

    A lean step takes up nothing while its credit is overdrawn. Decode steps add `LEAN_SHARE` of their time to the
    credit, tiles and prompts take theirs from it; so what is taken up slows decoding down by that share on average,
    however much one tile or prompt costs.

    Args:
        stall_s: how long a step may hold up decoding rows.
        tiles_per_image: without decoding rows, an image is never cut short.
        slots: without decoding rows, everyone who is ready gets in.
    """

    def __init__(self, stall_s: float, tiles_per_image: int, slots: int) -> None:
        self._stall_s = stall_s
        self._tiles_per_image = tiles_per_image
        self._slots = slots
        self._tile_s = self._prompt_s = self._decode_s = 0.0
        self._credit_s = 0.0

    def tiles(self, *, decoding: bool, lean: bool = False) -> int:
        """Return the tiles the next step may encode; `lean`: as the credit allows."""
        if lean and decoding and self._credit_s < 0.0:
            return 0
        if not self._tile_s:
            return 1 if decoding else self._tiles_per_image
        floor, bound_s = (1, self._stall(lean)) if decoding or lean else (self._tiles_per_image, IDLE_STALL_S)
        return min(max(int(bound_s / self._tile_s), floor), MAX_TILES)

    def ahead(self, *, decoding: bool) -> int:
        """Return the tiles that a step may encode of images nobody waits for: of one image, so that it is soon over.

        While rows decode, the step is a lean one: whoever sends many images slows others down a little only.
        """
        return min(self.tiles(decoding=True, lean=decoding), self._tiles_per_image)

    def prompts(self, *, decoding: bool, lean: bool = False) -> int:
        """Return the rows the next step may prefill; `lean`: as the credit allows."""
        if lean and decoding and self._credit_s < 0.0:
            return 0
        if not (decoding or lean):
            return self._slots
        return max(int(self._stall(lean) / self._prompt_s), 1) if self._prompt_s else 1

    def _stall(self, lean: bool) -> float:
        return min(self._stall_s, max(self._credit_s, 0.0)) if lean else self._stall_s

    def encoded(self, tiles: int, seconds: float) -> None:
        """Learn the cost of encoding."""
        self._tile_s = moving_average(self._tile_s, seconds / tiles, SMOOTHING)
        self._spend(seconds)

    def decoded(self, seconds: float) -> None:
        """Learn the cost of a decode step."""
        self._decode_s = moving_average(self._decode_s, seconds, SMOOTHING)
        self._credit_s = min(self._credit_s + LEAN_SHARE * seconds, self._decode_s)

    def prefilled(self, prompts: int, seconds: float) -> None:
        """Learn the cost of prefilling."""
        self._prompt_s = moving_average(self._prompt_s, seconds / prompts, SMOOTHING)
        self._spend(seconds)

    def _spend(self, seconds: float) -> None:
        self._credit_s = max(self._credit_s - seconds, -MOST_DEBT_STEPS * self._decode_s)

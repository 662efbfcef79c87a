"""The rows that wait for a slot, and the images that are open for them.

Owns how many images are open: those of the next rows in the fair order, as many as there are slots, and as many again
that were open before others came ahead of them or are of preempted rows. Engine's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.messages.from_worker import Preparing
from service.messages.rows import Flow
from service.worker.rows import EngineRow
from service.worker.scheduling.fair_queue import WeightedFairQueue

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner


@dataclass(frozen=True, slots=True)
class Lookups:
    """Images that rows looked up in the feature cache: all, those found whole, and the tiles found of all."""

    images: int = 0
    cached_images: int = 0
    cached_tiles: int = 0


class WaitingRows:
    """Waiting rows by id.

    Args:
        runner: where images are opened.
        announce: told which row's image is being opened.

    Attributes:
        queue: their order.
        opened: those whose image is open.
    """

    def __init__(self, runner: ModelRunner, announce: Callable[[Preparing], None] = lambda _: None) -> None:
        self._runner = runner
        self._announce = announce
        self._rows: dict[str, EngineRow] = {}
        self._lookups = Lookups()
        self.queue = WeightedFairQueue()
        self.opened: dict[str, EngineRow] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._rows

    def __getitem__(self, row_id: str) -> EngineRow:
        return self._rows[row_id]

    def add(self, row: EngineRow, *, ahead: bool) -> None:
        """Add a new row; with `ahead` it goes before all others."""
        self._rows[row.id] = row
        self.queue.enter(row.id, row.flow, ahead=ahead)

    def resume(self, row: EngineRow) -> None:
        """Put back a row that was preempted; its features are kept for it while they are here."""
        self._rows[row.id] = row
        self.queue.resume(row.id, row.flow)
        self._open(row)

    def leave(self, row_id: str) -> EngineRow:
        """Take out a row, which gets a slot or is over."""
        row = self._rows.pop(row_id)
        self.queue.start(row_id, row.flow)
        if self.opened.pop(row_id, None) is not None:
            self._runner.close_image(row.image_key)
        return row

    def cancel(self, ids: Iterable[str]) -> None:
        """Take out rows that are over; unknown ids wait no more."""
        for row_id in ids:
            if row_id in self._rows:
                opened = row_id in self.opened
                row = self.leave(row_id)
                self.queue.end(row.flow)
                if opened:
                    self._hand_on(row)

    def _hand_on(self, gone: EngineRow) -> None:
        """Let the next row about the image of a cancelled one be that for which its tiles are encoded."""
        heirs = self.about([gone.image_key])
        if heirs:
            heirs[0].cached_tiles = min(heirs[0].cached_tiles, gone.cached_tiles)

    def open_first(self, running: Mapping[Flow, int], shares: Mapping[Flow, float]) -> dict[str, EngineRow]:
        """Open the images of the first rows in the fair order, and return the rows with an open image, those first."""
        order = self.queue.order(running, shares, self._runner.slots)
        for row_id in order:
            if row_id not in self.opened:
                self._open(self._rows[row_id])
        first = {row_id: self.opened[row_id] for row_id in order}
        for row_id in [row_id for row_id in self.opened if row_id not in first][self._runner.slots :]:
            self._runner.close_image(self.opened.pop(row_id).image_key)
        return first | self.opened

    def _open(self, row: EngineRow) -> None:
        self._announce(Preparing((row.id,)))
        tiles = self._runner.open_image(row.image)
        self._announce(Preparing())
        self.opened[row.id] = row
        if not row.opened:
            before = self._lookups
            whole = tiles == self._runner.config.tiles
            self._lookups = Lookups(before.images + 1, before.cached_images + whole, before.cached_tiles + tiles)
            row.cached_tiles, row.opened = tiles, True

    def about(self, image_keys: Container[str]) -> list[EngineRow]:
        """Return the rows whose open image is one of these."""
        return [row for row in self.opened.values() if row.image_key in image_keys]

    def take_lookups(self) -> Lookups:
        """Return what was looked up in the feature cache since the last call."""
        lookups, self._lookups = self._lookups, Lookups()
        return lookups

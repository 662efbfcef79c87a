"""Prefill of new rows into slots: their images first, then their prompts, of which rows about one image share a part.

Knows no sampling and no step after it. Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.network.pheye import Pheye
from model.network.slots import Slots
from model.pixels.tiles import ImageKey
from model.request import DeviceMemoryError, NewRow
from model.runtime.device_memory import with_room
from model.runtime.features.open_images import OpenImages
from model.runtime.prompts import PromptReader
from model.runtime.running_rows import RunningRows


class Prefill:
    """The way of new rows into slots.

    Args:
        model: the fast path.
        slots: its slots.
        running: where the rows are noted.
        images: where their images are open, and encoded.
        prompts: reads their prompts.
        make_room: frees memory, if projecting an image runs out of it.
    """

    def __init__(
        self,
        model: Pheye,
        slots: Slots,
        running: RunningRows,
        images: OpenImages,
        prompts: PromptReader,
        make_room: Callable[[], None],
    ) -> None:
        self._model = model
        self._slots = slots
        self._running = running
        self._images = images
        self._prompts = prompts
        self._make_room = make_room

    def admit(self, rows: Sequence[NewRow]) -> list[int | None]:
        """Give rows their slots, and return the first new token of each, None for a failed row.

        Of the rows about a new image one reads all of its prompt, and then the others what theirs do not share with it.

        Raises:
            DeviceMemoryError: none of the rows holds its slot.
        """
        leaders: dict[ImageKey, NewRow] = {}
        try:
            self._occupy(rows, leaders)
            followers = [row for row in rows if leaders.get(row.image_key) is not row]
            waves = list(leaders.values()), followers
            first = {row.slot: token for wave in waves for row, token in self._prompts.read(wave)}
        except DeviceMemoryError:
            self._withdraw(rows, leaders)
            raise
        return [first[row.slot] for row in rows]

    def _occupy(self, rows: Sequence[NewRow], leaders: dict[ImageKey, NewRow]) -> None:
        """Note rows in their slots with their images, and add those that bring a new image to `leaders`."""
        for row in rows:
            if not self._slots.has_image(row.image_key):
                leaders[row.image_key] = row
                self._project(row.image_key)
            self._slots.occupy(row.slot, row.image_key, len(row.prompt) + len(row.given))
            self._running.add(row)

    def _project(self, image_key: ImageKey) -> None:
        tiles = self._images[image_key].complete
        with_room(lambda: self._model.admit_image(self._slots, image_key, tiles), self._make_room)

    def _withdraw(self, rows: Sequence[NewRow], leaders: dict[ImageKey, NewRow]) -> None:
        """Take back the slots of rows that hold one already, and images whose keys and values may be incomplete."""
        for row in rows:
            if row.slot in self._running:
                self._running.remove(row.slot)
                self._slots.release(row.slot)
        for image_key in leaders:
            self._slots.forget(image_key)

"""Images that are to be encoded when there is time, before anybody asks about them.

Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.pixels.tiles import ImageKey, TiledImage
    from model.runtime.runner import ModelRunner

MAX_PREFETCH = 32  # each holds its tiles and its unfinished features


class PrefetchQueue:
    """Images nobody waits for yet, oldest first; the latest wishes count if there are too many."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._images: dict[ImageKey, TiledImage] = {}

    def __len__(self) -> int:
        return len(self._images)

    @property
    def image_keys(self) -> list[ImageKey]:
        """Keys of the images, oldest first."""
        return list(self._images)

    def add(self, image: TiledImage) -> bool:
        """Add an image; False if its features are here already.

        One that a row waits for is added, too: the row may be cancelled, or be from before the image was deleted.
        """
        if image.image_key in self._images:
            return True
        self._runner.open_image(image)
        self._runner.keep_image(image.image_key)
        if self._runner.encoded_tiles(image.image_key) == self._runner.config.tiles:
            self._runner.close_image(image.image_key)
            return False
        if len(self._images) == MAX_PREFETCH:
            self.end(next(iter(self._images)))
        self._images[image.image_key] = image
        return True

    def end(self, image_key: ImageKey) -> None:
        """Drop an image, if it is here, and what is encoded of it for nobody else."""
        if self._images.pop(image_key, None) is not None:
            self._runner.close_image(image_key)

    def end_encoded(self, image_keys: Iterable[ImageKey]) -> None:
        """Drop those of these images that are encoded by now; the cache has their features."""
        for image_key in self._images.keys() & set(image_keys):
            if self._runner.encoded_tiles(image_key) == self._runner.config.tiles:
                self.end(image_key)

    def clear(self) -> None:
        """Drop all images that wait to be encoded ahead."""
        for image_key in self.image_keys:
            self.end(image_key)

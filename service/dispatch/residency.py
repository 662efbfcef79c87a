"""Images and tiles whose features are in one worker's cache, as the worker tells. API process's event loop only."""

from __future__ import annotations

from model.pixels.tiles import ImageKey, TiledImage, TileKey
from model.request import CacheChanges


class Residency:
    """Images and tiles whose features are in one worker's cache."""

    def __init__(self) -> None:
        self._images: set[ImageKey] = set()
        self._tiles: set[TileKey] = set()

    def __contains__(self, image_key: ImageKey) -> bool:
        return image_key in self._images

    def learn(self, changes: CacheChanges) -> None:
        """Take up what has come and gone."""
        self._images |= set(changes.added)
        self._images -= set(changes.dropped)
        self._tiles |= set(changes.added_tiles)
        self._tiles -= set(changes.dropped_tiles)

    def clear(self) -> None:
        """Forget everything, since the worker is gone."""
        self._images.clear()
        self._tiles.clear()

    def cached_tiles(self, image: TiledImage) -> int:
        """Count the tiles of an image that need not be encoded; of equal ones, one must be."""
        if image.image_key in self._images:
            return len(image.tiles)
        keys = image.tile_keys
        return len(keys) - len(set(keys) - self._tiles)

"""LRU cache of image features, bounded in bytes; equal tiles of several images are kept once.

Owns which image goes first and what every tile is shared by. Knows tensors only by their size. Called by the engine's
thread only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

from torch import Tensor

from model.pixels.tiles import ImageKey, TileKey
from model.request import CacheChanges

MOST_IMAGES = 1 << 16  # images made of tiles that others have take no bytes; this bounds them too


class FeatureCache:
    """LRU cache of images, each a list of tiles' features that other images may share.

    Args:
        limit_bytes: what the features of all different tiles may add up to; 0 keeps nothing.

    Attributes:
        size_bytes: what they add up to.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._images: OrderedDict[ImageKey, tuple[TileKey, ...]] = OrderedDict()  # least recently used first
        self._tiles: dict[TileKey, Tensor] = {}
        self._known: dict[TileKey, TileKey] = {}  # the string of each key that all images share
        self._uses: Counter[TileKey] = Counter()  # images that have the tile
        self._changed_images: dict[ImageKey, bool] = {}  # whether it came or went
        self._changed_tiles: dict[TileKey, bool] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def get(self, image_key: ImageKey) -> list[Tensor] | None:
        """Return the features of an image's tiles, now the most recently used image; None on a miss."""
        tiles = self._images.get(image_key)
        if tiles is None:
            return None
        self._images.move_to_end(image_key)
        return [self._tiles[tile] for tile in tiles]

    def tile(self, key: TileKey) -> Tensor | None:
        """Return the features of a tile that some image here has; this does not count as use of any."""
        return self._tiles.get(key)

    def put(self, image_key: ImageKey, keys: Sequence[TileKey], features: Sequence[Tensor]) -> None:
        """Keep an image, and drop the least recently used ones until the bound holds; too large ones are not kept.

        Args:
            image_key: its name.
            keys: of its tiles; equal ones have equal features.
            features: of its tiles, each in memory of its own.
        """
        self.drop(image_key)
        own = dict(zip(keys, features, strict=True))
        if sum(each.nbytes for each in own.values()) > self._limit_bytes:
            return
        for key, tensor in own.items():
            if key not in self._tiles:
                self._tiles[key], self._known[key] = tensor, key
                self.size_bytes += tensor.nbytes
                self._changed_tiles[key] = True
            self._uses[key] += 1
        self._images[image_key] = tuple(self._known[key] for key in keys)
        self._changed_images[image_key] = True
        while self.size_bytes > self._limit_bytes or len(self._images) > MOST_IMAGES:
            self.drop(next(iter(self._images)))

    def drop(self, image_key: ImageKey) -> None:
        """Forget an image, if it is here, and those of its tiles that no other image has."""
        for key in set(self._images.pop(image_key, ())):
            self._uses[key] -= 1
            if not self._uses[key]:
                del self._uses[key]
                self.size_bytes -= self._tiles.pop(key).nbytes
                del self._known[key]
                self._changed_tiles[key] = False
            self._changed_images[image_key] = False

    def clear(self) -> None:
        """Forget the features of all images."""
        for image_key in list(self._images):
            self.drop(image_key)

    def take_changes(self) -> CacheChanges:
        """Return what has come or gone since the last call."""
        images, self._changed_images = self._changed_images, {}
        tiles, self._changed_tiles = self._changed_tiles, {}
        return CacheChanges(
            added=tuple(key for key, came in images.items() if came),
            dropped=tuple(key for key, came in images.items() if not came),
            added_tiles=tuple(key for key, came in tiles.items() if came),
            dropped_tiles=tuple(key for key, came in tiles.items() if not came),
        )

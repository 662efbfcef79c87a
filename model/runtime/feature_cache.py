"""LRU cache of image features, bounded in bytes.

Owns which features count as the same and the list of what came and went; the order of use and the bound are
`cachetools`'. Knows tensors only by their size. Called by the engine's thread only.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import LRUCache
from torch import Tensor

from model.tiles import ImageKey


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """Key of an encoding: the decoded pixels, how they were prepared, and the weights that saw them."""

    image_key: ImageKey
    preprocessing: str
    weights: str


class FeatureCache:
    """LRU cache of image features, bounded in bytes.

    Args:
        limit_bytes: what all kept features may add up to; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._entries = _RecordedCache(limit_bytes)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Number of bytes of all features that are kept."""
        return int(self._entries.currsize)

    def get(self, key: FeatureKey) -> Tensor | None:
        """Return the features of an image, now the most recently used; None on a miss."""
        return self._entries.get(key)

    def put(self, key: FeatureKey, features: Tensor) -> None:
        """Keep features, and drop the least recently used ones until the bound holds; too large ones are not kept."""
        self.drop(key)
        if features.nbytes <= self._entries.maxsize:
            self._entries[key] = features

    def drop(self, key: FeatureKey) -> None:
        """Forget the features of an image, if they are here."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget the features of all images."""
        for key in list(self._entries):
            self.drop(key)

    def take_changes(self) -> dict[FeatureKey, bool]:
        """Return which keys have come (True) or gone (False) since the last call."""
        changes, self._entries.changes = self._entries.changes, {}
        return changes


class _RecordedCache(LRUCache[FeatureKey, Tensor]):
    """LRU cache that remembers which keys came and went, evicted ones included."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes, getsizeof=lambda features: features.nbytes)
        self.changes: dict[FeatureKey, bool] = {}

    def __setitem__(self, key: FeatureKey, features: Tensor) -> None:
        super().__setitem__(key, features)
        self.changes[key] = True

    def __delitem__(self, key: FeatureKey) -> None:
        super().__delitem__(key)
        self.changes[key] = False

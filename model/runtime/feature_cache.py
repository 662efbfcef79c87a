"""Image features by what they were made from, least recently used first out, bounded in bytes.

Knows tensors only by their size. Called by the engine's thread only.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor

from model.tiles import ImageKey


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """What makes two encodings the same: the decoded pixels, how they were prepared, and the weights that saw them."""

    image_key: ImageKey
    preprocessing: str
    weights: str


class FeatureCache:
    """A bytes-bounded LRU.

    Args:
        limit_bytes: what all kept features may add up to; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[FeatureKey, Tensor] = OrderedDict()
        self._changes: dict[FeatureKey, bool] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: FeatureKey) -> Tensor | None:
        """The features of an image, now the most recently used; None on a miss."""
        features = self._entries.get(key)
        if features is not None:
            self._entries.move_to_end(key)
        return features

    def put(self, key: FeatureKey, features: Tensor) -> None:
        """Keep features, and drop the least recently used ones until the bound holds; too large ones are not kept."""
        self.drop(key)
        if features.nbytes > self._limit_bytes:
            return
        self._entries[key] = features
        self.size_bytes += features.nbytes
        self._changes[key] = True
        while self.size_bytes > self._limit_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, key: FeatureKey) -> None:
        """Forget the features of an image, if they are here."""
        features = self._entries.pop(key, None)
        if features is not None:
            self.size_bytes -= features.nbytes
            self._changes[key] = False

    def take_changes(self) -> dict[FeatureKey, bool]:
        """Which keys have come (True) or gone (False) since the last call."""
        changes, self._changes = self._changes, {}
        return changes

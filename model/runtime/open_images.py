"""Open images, which waiting rows need: their features as far as they are encoded, in front of the feature cache.

What is open is held outside the cache, whose bound is therefore strict, and eviction cannot take away what is about to
be used. Knows neither rows nor the network. Called by the engine's thread only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.request import CacheChanges, FolderCounts, TileSpan
from model.runtime.feature_cache import FeatureCache, FeatureKey
from model.runtime.feature_folder import FeatureFolder
from model.tiles import ImageKey, TiledImage, Tiles

PREPROCESSING = "rgb bicubic across-down column-major 1"  # changes whenever `model/tiles.py` would give other pixels


@dataclass(slots=True)
class OpenImage:
    """Image that waiting rows need, with the tiles that are encoded so far.

    Attributes:
        image: its pixels.
        features: of its tiles [N, tokens per tile, D_vit], the first `encoded` of which are there.
        users: waiting rows that need it.
        keep: whether the cache may have it.
    """

    image: TiledImage
    features: Tensor
    encoded: int
    users: int = 1
    keep: bool = True

    def tiles(self, span: TileSpan) -> Tiles:
        """Return the pixels of some tiles [n, S, S, 3]."""
        return self.image.tiles[span.start : span.stop]


class OpenImages:
    """Open images by their key.

    Args:
        config: the model's geometry.
        cache: where complete images are looked up and put.
        fingerprint: of the weights.
        device, dtype: of features.
        folder: where what the cache does not hold is looked up, and complete images are put too; None for nowhere.
    """

    def __init__(
        self,
        config: PheyeConfig,
        cache: FeatureCache,
        fingerprint: str,
        device: torch.device,
        dtype: torch.dtype,
        folder: FeatureFolder | None = None,
    ) -> None:
        self._config = config
        self._cache = cache
        self._fingerprint = fingerprint
        self._device = device
        self._dtype = dtype
        self._folder = folder
        self._open: dict[ImageKey, OpenImage] = {}

    @property
    def cache_bytes(self) -> int:
        """Number of bytes that the feature cache holds."""
        return self._cache.size_bytes

    def __getitem__(self, image_key: ImageKey) -> OpenImage:
        return self._open[image_key]

    def open(self, image: TiledImage) -> bool:
        """Count one more row that needs an image; True if no tile has to be encoded for it.

        Raises:
            ValueError: the tiles are not of this model's geometry.
        """
        image_key = image.image_key
        if image_key in self._open:
            self._open[image_key].users += 1
            return True
        tiles, side = self._config.tiles, self._config.vision.tile_px
        if image.tiles.shape != (tiles, side, side, 3):
            raise ValueError(f"tiles have shape {image.tiles.shape}; expected {(tiles, side, side, 3)}")
        cached = self._kept(self._feature_key(image_key))
        shape = (tiles, self._config.vision.tokens_per_tile, self._config.vision.width)
        features = torch.empty(shape, device=self._device, dtype=self._dtype) if cached is None else cached
        self._open[image_key] = OpenImage(image, features, encoded=0 if cached is None else tiles)
        return cached is not None

    def close(self, image_key: ImageKey) -> None:
        """Count one row less that needs the image; without any, an unfinished encoding is dropped."""
        self._open[image_key].users -= 1
        if not self._open[image_key].users:
            del self._open[image_key]

    def add(self, span: TileSpan, features: Tensor) -> None:
        """Add features of an image's next tiles [n, tokens per tile, D_vit]; a completed image goes into the cache."""
        opened = self._open[span.image_key]
        opened.features[span.start : span.stop] = features
        opened.encoded = span.stop
        if opened.encoded == self._config.tiles and opened.keep:
            self._cache.put(self._feature_key(span.image_key), opened.features)
            if self._folder is not None:
                self._folder.write(self._feature_key(span.image_key), opened.features)

    def forget(self, image_key: ImageKey) -> None:
        """Drop an image's features from cache and folder, and keep those that are being encoded out of both."""
        self._cache.drop(self._feature_key(image_key))
        if self._folder is not None:
            self._folder.remove(self._feature_key(image_key))
        if image_key in self._open:
            self._open[image_key].keep = False

    def clear_cache(self) -> None:
        """Drop the features that no open image needs."""
        self._cache.clear()

    def take_changes(self) -> CacheChanges:
        """Return the images whose features have come into or gone from the feature cache since the last call."""
        changes = self._cache.take_changes().items()
        return CacheChanges(
            added=tuple(key.image_key for key, added in changes if added),
            dropped=tuple(key.image_key for key, added in changes if not added),
        )

    def take_folder_counts(self) -> FolderCounts:
        """Return what the folder found, missed and failed at since the last call."""
        return FolderCounts() if self._folder is None else self._folder.take_counts()

    def _kept(self, key: FeatureKey) -> Tensor | None:
        """Look an image's features up in the cache, then in the folder, from which they come into the cache."""
        features = self._cache.get(key)
        if features is None and self._folder is not None and (read := self._folder.read(key)) is not None:
            features = read.to(self._device)
            self._cache.put(key, features)
        return features

    def _feature_key(self, image_key: ImageKey) -> FeatureKey:
        return FeatureKey(image_key, PREPROCESSING, self._fingerprint)

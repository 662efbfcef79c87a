"""Open images, which waiting rows need: their features as far as they are encoded, in front of the feature cache.

What is open is held outside the cache, whose bound is therefore strict, and eviction cannot take away what is about to
be used. Knows neither rows nor the network. Called by the engine's thread only.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.pixels.tiles import ImageKey, TiledImage, TileKey, Tiles
from model.request import CacheChanges, FolderCounts, TileSpan
from model.runtime.features.feature_cache import FeatureCache
from model.runtime.features.feature_folder import FeatureFolder, FeatureKey

# Changes whenever `model/pixels/tiles.py` would give other pixels, or features would mean something else.
PREPROCESSING = "rgb bicubic across-down column-major, features without tile positions"


@dataclass(slots=True)
class OpenImage:
    """Image that waiting rows need, with the features of its tiles as far as they are known.

    Attributes:
        image: its pixels.
        keys: of its tiles [N].
        features: of its tiles, without their positions in the image: N times [tokens per tile, D_vit] or None.
        missing: tiles to be encoded, in this order; of equal ones the first alone.
        encoded: tiles that need no encoding any more; spans of tiles are counted from here.
        users: waiting rows that need it.
        keep: whether the cache may have it.
    """

    image: TiledImage
    keys: tuple[TileKey, ...]
    features: list[Tensor | None]
    missing: tuple[int, ...]
    encoded: int
    users: int = 1
    keep: bool = True

    def indices(self, span: TileSpan) -> tuple[int, ...]:
        """Return which tiles of the image a span means."""
        known = len(self.features) - len(self.missing)
        return self.missing[span.start - known : span.stop - known]

    def tiles(self, span: TileSpan) -> Tiles:
        """Return the pixels of some tiles [n, S, S, 3]."""
        return self.image.tiles[list(self.indices(span))]

    @property
    def complete(self) -> list[Tensor]:
        """Features of all its tiles; may be asked for when all are encoded."""
        return [each for each in self.features if each is not None]


class OpenImages:
    """Open images by their key.

    Args:
        config: the model's geometry.
        cache: where images and their tiles are looked up, and complete images are put.
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

    def open(self, image: TiledImage) -> int:
        """Count one more row that needs an image, and return how many of its tiles need not be encoded for this row.

        Raises:
            ValueError: the tiles are not of this model's geometry.
        """
        image_key = image.image_key
        if image_key in self._open:
            self._open[image_key].users += 1
            return self._config.tiles
        tiles, side = self._config.tiles, self._config.vision.tile_px
        if image.tiles.shape != (tiles, side, side, 3):
            raise ValueError(f"tiles have shape {image.tiles.shape}; expected {(tiles, side, side, 3)}")
        opened = self._open[image_key] = self._looked_up(image)
        return opened.encoded

    def close(self, image_key: ImageKey) -> None:
        """Count one row less that needs the image; without any, an unfinished encoding is dropped."""
        self._open[image_key].users -= 1
        if not self._open[image_key].users:
            del self._open[image_key]

    def add(self, span: TileSpan, features: Tensor) -> None:
        """Add features of an image's next tiles [n, tokens per tile, D_vit]; a completed image goes into the cache."""
        opened = self._open[span.image_key]
        for index, tile in zip(opened.indices(span), features, strict=True):
            own = tile.to(self._dtype, copy=True)  # a view would keep the whole batch in memory
            for place, key in enumerate(opened.keys):
                if key == opened.keys[index]:
                    opened.features[place] = own
        opened.encoded = span.stop
        if opened.encoded == self._config.tiles and opened.keep:
            self._keep(opened)

    def forget(self, image_key: ImageKey) -> None:
        """Drop an image's features from cache and folder, and keep those that are being encoded out of both."""
        self._cache.drop(image_key)
        if self._folder is not None:
            self._folder.remove(self._folder_key(image_key))
        if image_key in self._open:
            self._open[image_key].keep = False

    def keep(self, image_key: ImageKey) -> None:
        """Let the cache have an open image that was forgotten while it was open, now or when it is complete."""
        opened = self._open[image_key]
        if not opened.keep:
            opened.keep = True
            if opened.encoded == self._config.tiles:
                self._keep(opened)

    def clear_cache(self) -> None:
        """Drop the features that no open image needs."""
        self._cache.clear()

    def take_changes(self) -> CacheChanges:
        """Return what has come into or gone from the feature cache since the last call."""
        return self._cache.take_changes()

    def take_folder_counts(self) -> FolderCounts:
        """Return what the folder found, missed and failed at since the last call."""
        return FolderCounts() if self._folder is None else self._folder.take_counts()

    def _looked_up(self, image: TiledImage) -> OpenImage:
        """Look for an image in the cache, then for its tiles there, then for the image in the folder."""
        keys = image.tile_keys or tuple(TileKey(f"{image.image_key} {index}") for index in range(len(image.tiles)))
        whole = self._cache.get(image.image_key)
        if whole is not None:
            return OpenImage(image, keys, list(whole), (), len(whole))
        features = [self._cache.tile(key) for key in keys]
        read = None
        if any(each is None for each in features):
            read = self._read(image.image_key)
            features = features if read is None else list(read)
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        missing = tuple(sorted(index for index in first.values() if features[index] is None))
        opened = OpenImage(image, keys, features, missing, len(keys) - len(missing))
        if not missing:
            self._keep(opened, write=read is None)
        return opened

    def _read(self, image_key: ImageKey) -> list[Tensor] | None:
        """Read an image's features from the folder; None if they are not there, or the device has no room for them."""
        read = None if self._folder is None else self._folder.read(self._folder_key(image_key))
        try:
            return None if read is None else [tile.clone() for tile in read.to(self._device)]
        except torch.OutOfMemoryError:  # encoding makes room, and knows whose request fails if there is none
            return None

    def _keep(self, opened: OpenImage, *, write: bool = True) -> None:
        """Put a complete image into the cache, and into the folder if it is not from there and there is room to."""
        self._cache.put(opened.image.image_key, opened.keys, opened.complete)
        if write and self._folder is not None:
            with suppress(torch.OutOfMemoryError):
                self._folder.write(self._folder_key(opened.image.image_key), torch.stack(opened.complete))

    def _folder_key(self, image_key: ImageKey) -> FeatureKey:
        # The same weights give other features with another geometry, such as an activation that was set right.
        return FeatureKey(image_key, PREPROCESSING, f"{self._fingerprint} {self._config.vision}")

"""Folder of image features that outlives its process: a restart, or another worker, need not encode an image again.

One file per image in the safetensors format, named by a hash of the image, its preparation, the weights and the number
format. Any number of processes may share a folder. Lookups happen in the engine's thread; files are written, removed
and kept below the bound in a thread of this module's own. Knows nothing of rows, images or the network.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from model.pixels.tiles import ImageKey
from model.request import FolderCounts

logger = logging.getLogger("pheye.features")

_SUFFIX = ".features"
_UNFINISHED = ".unfinished"
_WAITING = 8  # images whose writing may wait; what comes then is left out
_FILL = 0.9  # share of the bound that eviction leaves
_SCAN_EVERY = 32  # writes after which the folder is counted anew, because others write to it too
_ABANDONED_S = 3600.0  # age of an unfinished file whose process must have died
_QUIET_S = 60.0  # between two log lines about failures


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """Key of an encoding: the decoded pixels, how they were prepared, and the weights that saw them."""

    image_key: ImageKey
    preprocessing: str
    weights: str


class FeatureFolderError(ValueError):
    """Folder that cannot be used; the message names it and says why."""


class FeatureFolder:
    """Folder of image features, bounded in bytes; the least recently used files are removed.

    Args:
        folder: where; made, for its owner alone, if it is not there.
        limit_bytes: what all files may add up to; while several processes write, a few files more for a moment.
        number_format: precision and kind of device, whose features must not be mixed: `bfloat16 cuda`.
        shape: of an image's features.
        dtype: of an image's features.

    Raises:
        FeatureFolderError: the folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, limit_bytes: int, number_format: str, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._number_format = number_format
        self._shape = shape
        self._dtype = dtype
        self._counts = FolderCounts()
        self._lock = threading.Lock()
        self._told_s = -_QUIET_S
        self._written = 0
        self._work: queue.Queue[Callable[[], None]] = queue.Queue()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_whole(folder / f"test-{uuid4().hex}{_UNFINISHED}", b"", keep=False)
        except OSError as error:
            raise FeatureFolderError(f"feature_folder: {folder} cannot be used: {error.strerror or error}") from None
        threading.Thread(target=self._run, name="feature-folder", daemon=True).start()
        self._work.put(self._evict)

    def read(self, key: FeatureKey) -> Tensor | None:
        """Return an image's features [tiles, tokens per tile, D_vit] on the CPU; None if missing or damaged."""
        path = self._path(key)
        try:
            features = self._checked(path.read_bytes())
            os.utime(path)
        except FileNotFoundError:
            self._count(misses=1)
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:  # a KeyError is of an unknown dtype
            self._count(misses=1, errors=1)
            self._tell(f"{path.name}: {error}")
            self._work.put(lambda: self._remove(path))
            return None
        self._count(hits=1)
        return features

    def write(self, key: FeatureKey, features: Tensor) -> None:
        """Write an image's features later, in another thread; left out while many others wait to be written.

        The features must not be changed afterwards.
        """
        if self._work.qsize() < _WAITING and features.nbytes <= self._limit_bytes:
            self._work.put(lambda: self._write(self._path(key), features))

    def remove(self, key: FeatureKey) -> None:
        """Remove an image's features now, and once more after what still waits to be written."""
        path = self._path(key)
        self._remove(path)
        self._work.put(lambda: self._remove(path))

    def take_counts(self) -> FolderCounts:
        """Return the counts since the last call."""
        with self._lock:
            counts = self._counts
            self._counts = FolderCounts(size_bytes=counts.size_bytes)
        return counts

    def finish(self) -> None:
        """Wait until everything that was asked for before is done."""
        done = threading.Event()
        self._work.put(done.set)
        done.wait()

    def _path(self, key: FeatureKey) -> Path:
        named = f"{key.image_key}\n{key.preprocessing}\n{key.weights}\n{self._number_format}\n{self._shape}"
        return self._folder / (hashlib.sha256(named.encode()).hexdigest() + _SUFFIX)

    def _checked(self, content: bytes) -> Tensor:
        held = safetensors.torch.load(content)
        if held.keys() != {"features", "crc32"}:
            raise ValueError("is no file of features")
        features: Tensor = held["features"]
        if tuple(features.shape) != self._shape or features.dtype != self._dtype:
            raise ValueError(f"holds {features.dtype} {tuple(features.shape)}")
        told, right = held["crc32"], _stored_checksum(features)
        if told.shape != right.shape or told.dtype != right.dtype or told != right:
            raise ValueError("its checksum is wrong")
        return features

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception as error:
                self._count(errors=1)
                self._tell(str(error))

    def _write(self, path: Path, features: Tensor) -> None:
        if path.exists():  # another process was faster
            return
        held = features.detach().to("cpu").contiguous()
        content = safetensors.torch.save({"features": held, "crc32": _stored_checksum(held)})
        size_bytes = self._count().size_bytes
        if size_bytes + len(content) > self._limit_bytes or self._written % _SCAN_EVERY == _SCAN_EVERY - 1:
            self._evict(len(content))
        _write_whole(path, content)
        self._written += 1
        self._count(size_bytes=len(content))

    def _remove(self, path: Path) -> None:
        try:
            size_bytes = path.stat().st_size
            path.unlink()
            self._count(size_bytes=-size_bytes)
        except FileNotFoundError:  # never written, or another process removed it
            return
        except OSError as error:
            self._count(errors=1)
            self._tell(f"{path.name}: {error}")

    def _evict(self, coming_bytes: int = 0) -> None:
        """Count the folder anew, and remove the files used longest ago until there is room for what comes."""
        files, now_s = [], time.time()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process evicts too
                    continue
                if entry.name.endswith(_SUFFIX):
                    files.append((about.st_mtime, about.st_size, Path(entry.path)))
                elif entry.name.endswith(_UNFINISHED) and now_s - about.st_mtime > _ABANDONED_S:
                    self._remove(Path(entry.path))
        total_bytes = sum(size for _, size, _ in files)
        if total_bytes + coming_bytes > self._limit_bytes:
            for _, size, path in sorted(files):
                self._remove(path)
                total_bytes -= size
                if total_bytes + coming_bytes <= _FILL * self._limit_bytes:
                    break
        self._count(size_bytes=total_bytes - self._count().size_bytes)

    def _count(self, hits: int = 0, misses: int = 0, errors: int = 0, size_bytes: int = 0) -> FolderCounts:
        with self._lock:
            old = self._counts
            self._counts = replace(
                old,
                hits=old.hits + hits,
                misses=old.misses + misses,
                errors=old.errors + errors,
                size_bytes=old.size_bytes + size_bytes,
            )
            return self._counts

    def _tell(self, message: str) -> None:
        """Log a failure, unless another was logged within the last minute: a full disk fails at every image."""
        now_s = time.monotonic()
        if now_s - self._told_s >= _QUIET_S:
            self._told_s = now_s
            logger.warning("feature folder %s: %s; the image is encoded instead", self._folder, message)


def _stored_checksum(features: Tensor) -> Tensor:
    """Sum features up, as a file has it: one int64."""
    return torch.tensor(zlib.crc32(features.flatten().view(torch.uint8).numpy().tobytes()))


def _write_whole(path: Path, content: bytes, *, keep: bool = True) -> None:
    """Write a file that appears whole under its name, or not at all, readable by its owner alone."""
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}{_UNFINISHED}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        if keep:
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

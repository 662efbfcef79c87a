"""Weights as the layers of a model hold them in int8 and int4, kept in a folder for the next start.

Rounding and packing the weights of a large model takes longer than everything else that a start does, and writes as
much memory as they need. Kept ones are mapped from the disk: a start need not make them, and the processes of a machine
have them in memory once. Knows nothing of layers. Any number of processes may share a folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.network.linear import rounding_here
from model.whole_files import PARTIAL, appearing_whole

logger = logging.getLogger("pheye.weights")

_ALIGNED = 64  # bytes: a line of a processor's cache
_MOST_SETS = 3  # in a folder; those used longest ago are removed
_BYTES, _TABLE = "weights.npy", "tensors.json"
_SET = re.compile(r"[0-9a-f]{24}-\w+-[0-9a-f]{16}")  # model, precision, and what else it depends on
_DTYPES = {str(dtype): dtype for dtype in (torch.uint8, torch.int8, torch.int64, torch.float32, torch.bfloat16)}


class PreparedWeights:
    """Tensors of one model in one precision for this kind of processor: those of an earlier start, or to be kept.

    Args:
        folder: where sets of them are kept; made, for its owner alone, if it is not there.
        identity: of the model's checkpoint.
        precision: such as `int8`.
    """

    def __init__(self, folder: Path, identity: str, precision: str) -> None:
        self._place = folder / f"{_owner(identity)}-{_form(precision)}"
        self._was_there = os.path.exists(self._place)  # pathlib raises what this takes for a no
        self._known = self._read() if self._was_there else {}
        self._made: dict[str, list[Tensor]] = {}

    @staticmethod
    def has_seen(folder: Path, identity: str) -> bool:
        """Return whether the folder has weights of this model, in whatever precision: it was loaded before."""
        try:
            return next(folder.glob(f"{_owner(identity)}-*/{_TABLE}"), None) is not None
        except OSError:  # it may not be looked into: `keep` will tell
            return False

    def __call__(self, name: str, make: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
        """Return the tensors of this name: those kept, or else those that the function makes."""
        if name in self._known:
            return self._known[name]
        made = self._made[name] = list(make())
        return made

    def keep(self) -> threading.Thread | None:
        """Write what had to be made, in a thread that is returned; none if all was known."""
        made, self._made = self._made, {}
        if not made:
            return None
        thread = threading.Thread(target=self._keep, args=({**self._known, **made},), name="prepared weights")
        thread.daemon = True  # what is not whole yet at the end of the process is made by the next one
        thread.start()
        return thread

    def _keep(self, tensors: Mapping[str, Sequence[Tensor]]) -> None:
        folder = self._place.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(folder) as is_alone:
                if not is_alone or (self._place.exists() and not self._was_there):
                    return  # another process writes, most likely the same, or has written it
                begun_s, size = time.monotonic(), _write(self._place, tensors)
        except FileExistsError:
            logger.warning(
                "prepared weights are not kept, the next start will make them again: %s is no folder", folder
            )
            return
        except OSError as error:
            said = "prepared weights are not kept in %s, the next start will make them again: %s"
            logger.warning(said, folder, error)
            return
        took_s = time.monotonic() - begun_s
        logger.info("kept %s of prepared weights in %s, in %.1f s", _shown(size), self._place, took_s)

    def _read(self) -> dict[str, list[Tensor]]:
        try:
            known = _mapped(self._place)
        except Exception as error:  # whatever a parser meets in a file that is not ours, or not whole
            logger.warning("%s: cannot be used, and will be made again: %s", self._place, error)
            return {}
        with suppress(OSError):  # a folder may be read-only, or another user's
            os.utime(self._place)  # it was used
        return known


def _owner(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def _form(precision: str) -> str:
    """Name the form of prepared tensors: their precision, and a digest of all else that decides what they are."""
    libraries = f"torch {torch.__version__} numpy {np.__version__}"
    digest = hashlib.sha256(f"{precision} {rounding_here()} {libraries}".encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return f"{precision}-{digest.hexdigest()[:16]}"


def _sources() -> list[Path]:
    """List the files of code that makes prepared tensors or writes them, in an order that is always the same."""
    room = Path(__file__).parents[1]
    return sorted([*(room / "checkpoint").rglob("*.py"), *(room / "network").rglob("*.py"), Path(__file__)])


def _write(place: Path, tensors: Mapping[str, Sequence[Tensor]]) -> int:
    """Write tensors into a folder that appears whole, in place of one of that name; returns their bytes."""
    table: dict[str, list[tuple[str, list[int], int]]] = {}
    filled = 0
    for name, parts in tensors.items():
        table[name] = []
        for part in parts:
            table[name].append((str(part.dtype), list(part.shape), filled))
            filled += -(-part.nbytes // _ALIGNED) * _ALIGNED
    _make_room(place, filled)
    with appearing_whole(place) as partial:
        with (partial / _BYTES).open("wb") as file:  # not mapped: a full disk would end the process
            header = {"descr": "|u1", "fortran_order": False, "shape": (filled,)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in chain.from_iterable(tensors.values()):
                file.write(part.contiguous().view(-1).view(torch.uint8).numpy().data)
                file.write(bytes(-part.nbytes % _ALIGNED))
        content = {"tensors": table, "checksum": _checksum(table, _bytes_of(partial))}
        (partial / _TABLE).write_text(json.dumps(content), encoding="utf-8")
    return filled


def _mapped(place: Path) -> dict[str, list[Tensor]]:
    """Return the tensors of a set, mapped from its file.

    Raises:
        Exception: of any kind, it is not what `_write` writes.
    """
    content = json.loads((place / _TABLE).read_text(encoding="utf-8"))
    table, whole = content["tensors"], _bytes_of(place)
    tensors = {name: [_part(whole, *each) for each in parts] for name, parts in table.items()}
    if content["checksum"] != _checksum(table, whole):
        raise ValueError("its checksum is wrong")
    return tensors


def _bytes_of(place: Path) -> np.ndarray[Any, Any]:
    # Copied on a write, which never comes: torch warns of memory that cannot be written to.
    whole: np.ndarray[Any, Any] = np.load(place / _BYTES, mmap_mode="c", allow_pickle=False)
    return whole


def _checksum(table: Mapping[str, Any], whole: np.ndarray[Any, Any]) -> str:
    """Sum up what a damaged disk or an interrupted copy would change; layers trust the shapes and values of a set.

    A sum takes 0.13 s for a gigabyte in memory, and a CRC six times as long.
    """
    shapes = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
    return f"{shapes} {int(torch.from_numpy(whole).view(torch.int64).sum())}"


def _part(whole: np.ndarray[Any, Any], dtype_name: str, shape: Sequence[int], start: int) -> Tensor:
    dtype = _DTYPES[dtype_name]
    size = math.prod(shape) * dtype.itemsize
    if start % _ALIGNED or not 0 <= start <= start + size <= len(whole):
        raise ValueError("a tensor lies outside of the file")
    return torch.from_numpy(whole[start : start + size]).view(dtype).view(tuple(shape))


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Tell whether no other process writes into the folder, and let none do so meanwhile."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC  # not "w": it would empty what a link points at
    with open(os.open(folder / ".lock", flags, 0o600), "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _make_room(place: Path, size: int) -> None:
    """Remove what a set of this size cannot have beside it; a process that has a removed one mapped keeps it.

    Raises:
        OSError: there is no room.
    """
    folder = place.parent
    _remove(place)
    for left in folder.glob(f"{PARTIAL}*"):
        if _SET.fullmatch(left.name.removeprefix(PARTIAL)):  # of a process that ended too soon
            _remove(left)
    others = _sets(folder)
    kept, surplus = others[: _MOST_SETS - 1], others[_MOST_SETS - 1 :]
    for oldest in reversed(surplus):
        _remove_set(oldest)
    for oldest in reversed(kept):  # a set of the same model in the same precision is of no more use, as after an update
        if _model_and_precision(oldest) == _model_and_precision(place) and size > shutil.disk_usage(folder).free:
            _remove_set(oldest)
    if size > (free := shutil.disk_usage(folder).free):
        raise OSError(f"{_shown(size)} are needed and {_shown(free)} are free")


def _sets(folder: Path) -> list[Path]:
    """List the sets in a folder, which may have other things in it, too; the one that was used last is the first."""
    sets = [each for each in folder.iterdir() if _SET.fullmatch(each.name)]
    return sorted(sets, key=lambda each: each.lstat().st_mtime, reverse=True)


def _model_and_precision(place: Path) -> str:
    return place.name.rpartition("-")[0]


def _remove_set(place: Path) -> None:
    logger.info("removing prepared weights that were used longest ago: %s", place)
    _remove(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"

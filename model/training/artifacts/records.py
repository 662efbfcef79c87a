"""Records of how weights were made: plain data that nests the records of the models they began from.

In memory a record is whole. In a file each of those that it nests is told once; where it comes again stands
`{"the_same_as": POINTER}`, a JSON pointer (RFC 6901) from the file's root. Any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from model.checkpoint.sources import RECORD, CheckpointError

_SAME = "the_same_as"

Record = dict[str, Any]


def read_record(folder: Path) -> Record | None:
    """Read the whole record of the weights in a folder, if training wrote one.

    Raises:
        CheckpointError: the record cannot be read.
    """
    path = folder / RECORD
    try:
        return told_whole(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None


def told_once(record: Mapping[str, Any]) -> Record:
    """Return the record as files keep it: a nested record that comes again is a pointer to where it is told.

    >>> told_once({"averaged": [{"training": {"seed": 1}}, {"training": {"seed": 1}}]})
    {'averaged': [{'training': {'seed': 1}}, {'training': {'the_same_as': '/averaged/0/training'}}]}
    """
    return _told_once(record, "", {}, {})


def told_whole(record: Mapping[str, Any]) -> Record:
    """Return the record with each pointer of `told_once` replaced by what it points to.

    Records that are the same are the same object, so that many generations take little memory.

    Raises:
        LookupError: a pointer leads nowhere.
    """
    return _told_whole(record, "", {})


def _told_once(record: Mapping[str, Any], pointer: str, told: dict[str, str], digests: dict[int, str]) -> Record:
    short = _copy(record)
    for inside, holder, key in _nested(short, pointer):
        earlier = told.setdefault(_digest(holder[key], digests), inside)
        holder[key] = {_SAME: earlier} if earlier != inside else _told_once(holder[key], inside, told, digests)
    return short


def _digest(record: Mapping[str, Any], digests: dict[int, str]) -> str:
    """Compute a digest of a record from those of the records in it; `digests` has those computed before, by identity.

    Each object is looked at once: written out, a mean of runs that began from means doubles with every generation.
    """
    if id(record) not in digests:
        short = _copy(record)
        for _, holder, key in _nested(short, ""):
            holder[key] = _digest(holder[key], digests)
        digests[id(record)] = sha256(json.dumps(short, sort_keys=True).encode()).hexdigest()
    return digests[id(record)]


def _told_whole(record: Mapping[str, Any], pointer: str, told: dict[str, Record]) -> Record:
    whole = _copy(record)
    for inside, holder, key in _nested(whole, pointer):
        earlier = holder[key].get(_SAME)
        holder[key] = told[earlier] if earlier else _told_whole(holder[key], inside, told)
        told[inside] = holder[key]
    return whole


def _copy(record: Mapping[str, Any]) -> Record:
    """Copy a record and the places in it that hold others, so that these can be replaced."""
    if not isinstance(record, Mapping):
        raise TypeError(f"expected an object, found {type(record).__name__}")
    copied = dict(record)
    if "averaged" in copied:
        copied["averaged"] = [dict(each) for each in copied["averaged"]]
    return copied


def _nested(record: Record, pointer: str) -> Iterator[tuple[str, Record, str]]:
    """Yield the pointer of each record that this one nests directly, and the object and key that hold it."""
    for index, each in enumerate(record.get("averaged", ())):
        if each.get("training") is not None:
            yield f"{pointer}/averaged/{index}/training", each, "training"
    if record.get("before") is not None:
        yield f"{pointer}/before", record, "before"

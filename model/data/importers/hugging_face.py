"""Importer of data sets of the package `datasets`: a folder it saved, or a name on the Hugging Face hub.

Their images are in tables; they are written beside the manifest as they are, each under the hash of its bytes. Owns
that folder. Knows no tensors. One thread.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model.data.fields import DataError
from model.data.importers.columns import TableColumns, find_columns, row_turns
from model.data.importers.importing import FoundSample, ImportRefused, Remark
from model.data.importers.llava import conversation
from model.data.importers.table import TableOptions
from model.data.manifest import UNREADABLE
from model.whole_files import PARTIAL

_CONVERSATIONS = ("conversations", "messages")
Classes = Mapping[str, Sequence[str]]  # the names of a column's classes, which its cells count from 0


@dataclass(frozen=True, slots=True)
class HuggingFaceSource:
    """Data set of the package `datasets`.

    Attributes:
        name: a folder written by `save_to_disk`, one with files of data, or a hub id.
        config: which of its configurations; None is its default.
        split: which part.
    """

    name: str
    config: str | None = None
    split: str = "train"


def hugging_face_samples(
    source: HuggingFaceSource, pictures: Path, options: TableOptions
) -> Iterator[FoundSample | Remark]:
    """Read rows with an image; images are written to the folder `pictures` as they are met.

    Raises:
        ImportRefused: the package, the data set or a column is not there, or a row cannot be read.
        OSError: an image cannot be written.
    """
    rows, image_columns, classes = _opened(source)
    columns: TableColumns | None = None
    for number, coded in enumerate(_read(rows, source)):
        row = _with_classes(coded, classes)
        where = f"{source.name} {source.split}[{number}]"
        spoken = next((key for key in _CONVERSATIONS if isinstance(row.get(key), list)), None)
        if columns is None:
            columns = _columns(row, image_columns, spoken, options, source)
        remarks: list[Remark] = []
        try:
            if spoken is None:
                turns = row_turns(row, columns, options.instruction, options.style)
            else:
                turns, remarks = conversation(where, row[spoken])
            picture = _written(row.get(columns.image), pictures)
        except DataError as error:
            yield Remark(str(error), where)
            continue
        yield from remarks
        if turns:
            yield FoundSample(where, (picture,), turns)


def _opened(source: HuggingFaceSource) -> tuple[Iterable[Mapping[str, Any]], list[str], Classes]:
    """Open a data set with its images undecoded; name the columns that have them, and the classes of others."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise ImportRefused("the package datasets is not installed; pip install datasets") from None
    try:
        if Path(source.name).is_dir() and _is_saved(Path(source.name)):
            found = datasets.load_from_disk(source.name)
            if isinstance(found, datasets.DatasetDict):
                if source.split not in found:
                    raise ImportRefused(f"{source.name}: --split: there is no {source.split}; there are {[*found]}")
                found = found[source.split]
        else:
            found = datasets.load_dataset(source.name, source.config, split=source.split, streaming=True)
        features = found.features or {}
        classes = {name: kind.names for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
        images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        for name in images:
            found = found.cast_column(name, datasets.Image(decode=False))
    except ImportRefused:
        raise
    except Exception as error:  # whatever the library meets on the hub or in a stranger's files
        raise ImportRefused(f"{source.name}: cannot be opened as a data set: {_reason(error)}") from None
    return found, images, classes


def _read(rows: Iterable[Mapping[str, Any]], source: HuggingFaceSource) -> Iterator[Mapping[str, Any]]:
    """Pass rows on; the library reads files as it comes to them, and says what is wrong with one only then."""
    count = 0
    try:
        for count, row in enumerate(rows, start=1):  # noqa: B007 - told when one is missing
            yield row
    except Exception as error:  # as when it is opened
        raise ImportRefused(
            f"{source.name} {source.split}: cannot be read behind {count} rows: {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _with_classes(row: Mapping[str, Any], classes: Classes) -> Mapping[str, Any]:
    """Write the names of classes in place of their numbers; -1 is no class, as in parts without answers."""
    if not classes:
        return row
    named = {name: row.get(name) for name in classes}
    places = {name: place for name, place in named.items() if isinstance(place, int)}
    return {**row, **{name: _class(classes[name], place) for name, place in places.items()}}


def _class(names: Sequence[str], place: int) -> str | None:
    return names[place] if 0 <= place < len(names) else None


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _columns(
    row: Mapping[str, Any], images: list[str], spoken: str | None, options: TableOptions, source: HuggingFaceSource
) -> TableColumns:
    wanted = options.columns
    if wanted.image is None and images:
        wanted = type(wanted)(images[0], wanted.question, wanted.response)
    if spoken is not None:
        wanted = type(wanted)(wanted.image, wanted.question, spoken)
    return find_columns(list(row), wanted, source.name)


def _written(value: Any, pictures: Path) -> Path:
    """Write an image's bytes under their hash, once, and return the path.

    Raises:
        DataError: there is no image, or nobody can read it.
    """
    data = value.get("bytes") if isinstance(value, Mapping) else value
    path = value.get("path") if isinstance(value, Mapping) else None
    if data is None and isinstance(path, str) and os.path.isfile(path):
        data = Path(path).read_bytes()
    if not isinstance(data, bytes):
        raise DataError("row without an image")
    try:
        with Image.open(io.BytesIO(data)) as image:
            ending = (image.format or "image").lower().replace("jpeg", "jpg")
    except UNREADABLE:
        raise DataError("row with an image that cannot be read") from None
    target = pictures / f"{hashlib.sha256(data).hexdigest()[:24]}.{ending}"
    if not target.is_file():
        pictures.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(PARTIAL + target.name)
        partial.write_bytes(data)
        partial.replace(target)
    return target

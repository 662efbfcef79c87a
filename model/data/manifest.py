"""Manifest: JSON lines that pair an image with an instruction and a response, read as a source of samples.

Lines about the same image become turns of one sample. Every line is checked before training starts; what is wrong is
named with its line. Knows no tensors. Read by the training process, and by its loader's workers, which open the images.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model.data.samples import Sample, Turn
from model.pixels.rgb import to_rgb

KEYS = ("image", "instruction", "response")
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow says of a bad image
_SHOWN = 5  # mistakes named before the rest are counted
_QUOTED = 200  # characters of a value that is no text


class ManifestError(ValueError):
    """Manifest that cannot be trained on; the message names the lines and what is wrong with each."""


@dataclass(frozen=True, slots=True)
class Line:
    """Line of a manifest.

    Attributes:
        image: the file, absolute or relative to the manifest's folder.
        instruction: as `model.prompt.render` takes it, response formatting prompt included.
        response: what shall be answered.
    """

    image: str
    instruction: str
    response: str


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """Samples of a manifest, images in the order of their first lines."""

    images: tuple[Path, ...]
    turns: tuple[tuple[Turn, ...], ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        try:
            with Image.open(self.images[index]) as image:
                rgb = to_rgb(image)
        except UNREADABLE as error:
            raise ManifestError(f"{self.images[index]}: cannot be read as an image: {error}") from None
        return Sample(rgb, self.turns[index])


def read_manifest(path: Path) -> ManifestSource:
    """Read and check a manifest.

    Raises:
        ManifestError: it is not there or empty, or lines are not what they should be.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: there is no such file")
    images: dict[Path, dict[Turn, None]] = {}
    mistakes = []
    for number, line in manifest_lines(path):
        try:
            if isinstance(line, ManifestError):
                raise line
            file = _file(path.parent / line.image, images)
        except ManifestError as error:
            mistakes.append(f"{path}, line {number}: {error}")
            continue
        images.setdefault(file, {})[Turn(line.instruction, line.response)] = None
    if mistakes:
        more = [f"and {len(mistakes) - _SHOWN} lines more"] if len(mistakes) > _SHOWN else []
        raise ManifestError("\n".join([*mistakes[:_SHOWN], *more]))
    if not images:
        raise ManifestError(f"{path}: there is no line in it")
    return ManifestSource(tuple(images), tuple(map(tuple, images.values())))


def manifest_lines(path: Path) -> Iterator[tuple[int, Line | ManifestError]]:
    """Read the lines one at a time, each with its number, or what is wrong with it; blank ones are passed over.

    A line ends where a line feed is: inside JSON there may be other characters that end lines elsewhere.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number, data in enumerate(file, start=1):
            if not data.strip():
                continue
            try:
                yield number, _line(data)
            except ManifestError as error:
                yield number, error


def line_text(line: Line) -> str:
    """Return a line as a manifest has it; a file name that is not UTF-8 is kept, in escapes."""
    record = {key: getattr(line, key) for key in KEYS}
    text = json.dumps(record, ensure_ascii=False)
    return (text if is_unicode(text) else json.dumps(record)) + "\n"


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _line(data: bytes) -> Line:
    try:
        record: Any = json.loads(data)  # a byte order mark before the first line is no mistake
    except UnicodeDecodeError as error:
        raise ManifestError(f"not UTF-8, from byte {error.start} of the line on") from None
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}") from None
    except RecursionError:
        raise ManifestError("lists and objects too deep in each other") from None
    if not isinstance(record, dict):
        raise ManifestError(f"expected an object with {', '.join(KEYS)}")
    for key in record:
        if key not in KEYS:
            raise ManifestError(f"unknown key {_quoted(key)}; known are {', '.join(KEYS)}")
    for key in KEYS:
        if key not in record:
            raise ManifestError(f"{key!r} is missing")
        if not isinstance(record[key], str) or not record[key].strip():
            raise ManifestError(f"{key}: {_quoted(record[key])} is not a text")
        if key != "image" and not is_unicode(record[key]):
            raise ManifestError(
                f"{key}: there is half of a character in it, which has no UTF-8: {_quoted(record[key])}"
            )
    return Line(**record)


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def _file(path: Path, known: Mapping[Path, object]) -> Path:
    if path not in known and not os.path.isfile(path):  # which takes any name, also one too long
        raise ManifestError(f"image: there is no file {path}")
    return path

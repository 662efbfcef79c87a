"""Manifest: JSON lines that pair an image with an instruction and a response, read as a source of samples.

Lines about the same image become turns of one sample. Every line is checked before training starts; what is wrong is
named with its line. Knows no tensors. Read by the training process, and by its loader's workers, which open the images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model.data.samples import Sample, Turn
from model.rgb import to_rgb
from model.whole_files import file_appearing_whole

KEYS = ("image", "instruction", "response")
_SHOWN = 5  # mistakes named before the rest are counted


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
        except (OSError, SyntaxError, ValueError) as error:
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
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = _line(text)
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


def write_manifest(path: Path, lines: Iterable[Line]) -> int:
    """Write a manifest, and return the number of its lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with file_appearing_whole(path) as file:
        for line in lines:
            record = {key: getattr(line, key) for key in KEYS}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def _line(text: str) -> Line:
    try:
        record: Any = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ManifestError(f"expected an object with {', '.join(KEYS)}")
    for key in record:
        if key not in KEYS:
            raise ManifestError(f"unknown key {key!r}; known are {', '.join(KEYS)}")
    for key in KEYS:
        if key not in record:
            raise ManifestError(f"{key!r} is missing")
        if not isinstance(record[key], str) or not record[key].strip():
            raise ManifestError(f"{key}: {record[key]!r} is not a text")
    return Line(**record)


def _file(path: Path, known: Mapping[Path, object]) -> Path:
    if path not in known and not path.is_file():
        raise ManifestError(f"image: there is no file {path}")
    return path

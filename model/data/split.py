"""Split of one's own data into images to learn from and held-out images to be validated on.

It is by image: files of the same bytes stay on one side, whatever they are called. It depends on the files' names
alone, so it is the same in every run, and pictures that are added later move few others. Reads files, and writes none;
used by the training process's main thread.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.data.manifest import ManifestError, ManifestSource, read_manifest
from model.data.samples import Turn

_SHARE = 0.1  # of the images, by default
_FEWEST, _MOST = 5, 500  # images held out by default; more than that cost time and tell little more
_TOO_FEW = 10  # images, below which none can be spared
_END_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Split:
    """Training and validation images of some manifests; no image is in both.

    Attributes:
        training: what is left of each manifest, in order.
        validation: held-out images with all their turns; None if there are none.
    """

    training: tuple[ManifestSource, ...]
    validation: ManifestSource | None


def default_count(images: int) -> int:
    """Return how many images to hold out of so many: a tenth, but at least five where they can be spared.

    >>> [default_count(images) for images in (9, 10, 20, 50, 300, 100_000)]
    [0, 2, 5, 5, 30, 500]
    """
    if images < _TOO_FEW:
        return 0
    return min(_MOST, max(round(_SHARE * images), min(_FEWEST, images // 4)))


def split_by_share(manifests: Sequence[ManifestSource], folders: Sequence[Path], share: float | None) -> Split:
    """Hold out a share of the images.

    Args:
        manifests: what is to be split, together.
        folders: where each manifest lies; what its images' names are relative to.
        share: of the images, above 0 and below 1, at least one image; None takes `default_count`.

    Raises:
        ManifestError: nothing would be left to learn from.
    """
    identities = _identities(image for source in manifests for image in source.images)
    names: dict[str, str] = {}
    for source, folder in zip(manifests, folders, strict=True):
        for image in source.images:
            name = Path(os.path.relpath(image, folder)).as_posix()
            names[identities[image]] = min(name, names.get(identities[image], name))
    count = default_count(len(names)) if share is None else max(1, round(share * len(names)))
    if count >= len(names):
        raise ManifestError(
            f"validation: {count} of {len(names)} images would be held out, and none left to learn from"
        )
    held = set(sorted(names, key=lambda identity: _digest(os.fsencode(names[identity])))[:count])
    training = tuple(_part(source, [identities[image] not in held for image in source.images]) for source in manifests)
    for number, source in enumerate(training):
        if not len(source):
            raise ManifestError(
                f"validation: every image of manifest {number + 1} would be held out; give a file instead"
            )
    left = (_part(source, [identities[image] in held for image in source.images]) for source in manifests)
    return Split(training, _joined(left, identities) if held else None)


def split_by_file(manifests: Sequence[ManifestSource], file: Path) -> Split:
    """Take the validation images from a manifest of their own.

    Raises:
        ManifestError: it cannot be read, or an image of it is trained on.
    """
    validation = read_manifest(file)
    identities = _identities([*validation.images, *(image for source in manifests for image in source.images)])
    trained_on = {identities[image]: image for source in manifests for image in source.images}
    for image in validation.images:
        if identities[image] in trained_on:
            twin = trained_on[identities[image]]
            same = "is" if twin == image else f"is the same picture as {twin}, which is"
            raise ManifestError(f"{file}: {image} {same} trained on as well; a picture must be on one side only")
    return Split(tuple(manifests), validation)


def digest(source: ManifestSource) -> str:
    """Return a hash of a source's turns and its images' names, the same wherever the folder is moved."""
    lines = (f"{image.name}\n{turn.instruction}\n{turn.response}" for image, turn in _turns(source))
    return _digest(os.fsencode("\n\n".join(lines)))  # a file name need not be UTF-8


def _turns(source: ManifestSource) -> Iterable[tuple[Path, Turn]]:
    return ((image, turn) for image, turns in zip(source.images, source.turns, strict=True) for turn in turns)


def _identities(images: Iterable[Path]) -> dict[Path, str]:
    """Return what each file is known by: files of the same bytes have it in common.

    Of a million files few are read as a whole: sizes tell most apart, and both ends nearly all others.
    """
    groups = [list(dict.fromkeys(images))]
    for told_by in (_size, _ends, _whole):
        groups = [part for group in groups for part in _told_apart(group, told_by)]
    return {image: str(group[0]) for group in groups for image in group}


def _told_apart(images: Sequence[Path], told_by: Callable[[Path], object]) -> Iterable[list[Path]]:
    if len(images) == 1:
        return [list(images)]
    parts: dict[object, list[Path]] = defaultdict(list)
    for image in images:
        parts[told_by(image)].append(image)
    return parts.values()


def _size(image: Path) -> int:
    return image.stat().st_size


def _ends(image: Path) -> bytes:
    with image.open("rb") as file:
        start = file.read(_END_BYTES)
        file.seek(max(0, _size(image) - _END_BYTES))
        return start + file.read(_END_BYTES)


def _whole(image: Path) -> str:
    return _digest(image.read_bytes())


def _part(source: ManifestSource, kept: Sequence[bool]) -> ManifestSource:
    pairs = [pair for pair, keep in zip(zip(source.images, source.turns, strict=True), kept, strict=True) if keep]
    return ManifestSource(tuple(image for image, _ in pairs), tuple(turns for _, turns in pairs))


def _joined(sources: Iterable[ManifestSource], identities: Mapping[Path, str]) -> ManifestSource:
    """Join sources into one, in which each image is once, with the turns of all."""
    images: dict[str, Path] = {}
    turns: dict[str, dict[Turn, None]] = defaultdict(dict)
    for source in sources:
        for image, turn in _turns(source):
            images.setdefault(identities[image], image)
            turns[identities[image]][turn] = None
    return ManifestSource(tuple(images.values()), tuple(tuple(turns[identity]) for identity in images))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

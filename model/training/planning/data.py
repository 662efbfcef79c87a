"""Training data by name: manifests and streams of the synthetic world, and the images held out for validation.

Reads and checks every manifest, so that what is wrong is said before a model is loaded. Knows no tensors. Main thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model.data.manifest import ManifestError, ManifestSource, read_manifest
from model.data.mixture import STREAMS, stream
from model.data.samples import Sample, Source
from model.data.split import Split, digest, split_by_file, split_by_share
from model.prompt import render
from model.tokenizer import TextTokenizer
from model.training.rows import RowError, row_of

_PASSED_OVER = (
    7  # samples at most, in search of one with other instructions; 7 mixes a stream's kinds, which 6 would not
)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Stream without the turns that have one of some instructions; samples of nothing else are passed over."""

    stream: Source
    without: frozenset[str]

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, index: int) -> Sample:
        for number in range(_PASSED_OVER * index, _PASSED_OVER * (index + 1)):
            sample = self.stream[number]
            turns = tuple(turn for turn in sample.turns if turn.instruction not in self.without)
            if turns:
                return Sample(sample.image, turns)
        return sample


@dataclass(frozen=True)
class TrainingData:
    """Data of a run.

    Attributes:
        names: as they were given: files, or names of streams.
        sources: what is learned from, one for each name.
        validation: held-out images; None for none.
        rehearsal: name of the stream that some samples are taken from; None for none.
    """

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    validation: ManifestSource | None = None
    rehearsal: str | None = None

    @property
    def own(self) -> list[ManifestSource]:
        """The sources that are manifests."""
        return [source for source in self.sources if isinstance(source, ManifestSource)]

    @property
    def is_own(self) -> bool:
        """True if all data are manifests."""
        return len(self.own) == len(self.sources)

    @property
    def images(self) -> int:
        """Number of images to learn from, 0 if the data have no end."""
        return sum(map(len, self.own))

    @property
    def turns(self) -> int:
        """Number of turns about them."""
        return sum(len(turns) for source in self.own for turns in source.turns)

    def rehearsed(self) -> Source | None:
        """Open the rehearsal, without the instructions that the data answer in their own way."""
        found = None if self.rehearsal is None else stream(self.rehearsal)
        if found is None:
            return None
        own = frozenset(turn.instruction for source in self.own for turns in source.turns for turn in turns)
        return Rehearsal(found, own)

    @cached_property
    def began(self) -> dict[str, str | None]:
        """Fingerprints of the data, so that a run does not go on with others."""
        sources = "\n".join(digest(source) if isinstance(source, ManifestSource) else "" for source in self.sources)
        data = hashlib.sha256("\n".join([*map(self._name, range(len(self.names))), sources]).encode()).hexdigest()
        validation = None if self.validation is None else digest(self.validation)
        return {"data": data, "validation": validation, "rehearsal": self.rehearsal}

    def _name(self, number: int) -> str:
        return "" if isinstance(self.sources[number], ManifestSource) else self.names[number]

    def check_lengths(self, tokenizer: TextTokenizer, max_positions: int) -> None:
        """Refuse turns that do not fit into a model's context.

        Raises:
            ManifestError: the message names the first one's image.
        """
        for source in [*self.own, *([] if self.validation is None else [self.validation])]:
            for image, turns in zip(source.images, source.turns, strict=True):
                for turn in turns:
                    if len(f"{render(turn.instruction)} {turn.response}".encode()) < max_positions:
                        continue  # a token is a byte at least
                    try:
                        row_of([turn], tokenizer, max_positions)
                    except RowError as error:
                        raise ManifestError(f"{image}: {error}: {turn.response[:40]!r}...") from None


def read_data(
    paths: tuple[Path, ...], validation: str | None = None, *, held_out_by_default: bool = True
) -> TrainingData:
    """Read training data, and hold some of it out.

    Args:
        paths: manifests, or names of streams.
        validation: a share of the images as 0.2 or 20%, a manifest of other images, or 0 for none; None is
            `model.data.split.default_count`.
        held_out_by_default: whether None holds anything out.

    Raises:
        ManifestError: something of it cannot be used; the message says what.
    """
    names = tuple(map(str, paths))
    streams = {number: found for number, name in enumerate(names) if (found := stream(name)) is not None}
    own = {number: read_manifest(Path(name)) for number, name in enumerate(names) if number not in streams}
    folders = [Path(names[number]).parent for number in own]
    split = _split(list(own.values()), folders, validation, held_out_by_default)
    sources = {**streams, **dict(zip(own, split.training, strict=True))}
    return TrainingData(names, tuple(sources[number] for number in range(len(names))), split.validation)


def rehearsal_of(record: Mapping[str, Any] | None) -> str | None:
    """Return the stream that a model was last taught from, as its record says; None if it was none we have.

    >>> rehearsal_of({"data": ["mine.jsonl"], "before": {"data": ["scenes", "signs"]}})
    'signs'
    """
    while record is not None:
        streams = [name for name in record.get("data") or () if name in STREAMS]
        if streams:
            return str(streams[-1])
        averaged = record.get("averaged")
        record = averaged[-1].get("training") if averaged else record.get("before")
    return None


def _split(own: list[ManifestSource], folders: list[Path], validation: str | None, by_default: bool) -> Split:
    share = None if validation is None else _share(validation)
    if validation is not None and share is None:
        return split_by_file(own, Path(validation))
    if share == 0 or (validation is None and (not by_default or not own)):
        return Split(tuple(own), None)
    if not own:
        raise ManifestError("validation: a stream has no end and so no share to hold out; give a manifest's file")
    return split_by_share(own, folders, share)


def _share(text: str) -> float | None:
    """Return the share that a text says; None if it is no number, and so a file.

    >>> _share("0.2"), _share("20 %"), _share("held-out.jsonl")
    (0.2, 0.2, None)

    Raises:
        ManifestError: the share is not from 0 up to 1.
    """
    number, percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        return None
    if not 0 <= share < 1:
        raise ManifestError(f"validation: {text} is not a share of the images from 0 up to 1; write 0.2, 20% or a file")
    return share

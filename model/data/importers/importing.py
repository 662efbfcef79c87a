"""Import of a data set: what a reader finds becomes lines of a manifest, and what it cannot use is counted and named.

Owns the manifest's place, the paths in it and the report. Knows no data set's format: readers yield `FoundSample`s and
`Remark`s. Knows no tensors. One thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.data.manifest import Line, is_unicode, line_text
from model.data.samples import Turn
from model.whole_files import file_appearing_whole

Missing = Literal["skip", "refuse"]
NAMED = 3  # places named for each remark
NO_FILE = "image file missing"
_MOST_CHARACTERS = 1000  # of a place, which may have the name of a file or of a sample in it


class ImportRefused(ValueError):
    """Import that wrote nothing; the message says why."""


class _ReadingFailed(ValueError):
    """Failed reading of the data set, which must not be taken for a failed writing of the manifest."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class FoundSample:
    """Image of a data set and the turns about it.

    Attributes:
        where: the place in the data set, as a person would look for it.
        images: paths that the image may have, the likeliest first.
        turns: one at least.
    """

    where: str
    images: tuple[Path, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """Remark of a reader.

    Attributes:
        what: the same words for all of one kind.
        where: the place in the data set.
        skipped: whether something was left out, a sample or a turn.
    """

    what: str
    where: str
    skipped: bool = True


@dataclass(slots=True)
class RemarkCount:
    """Number of remarks of one kind, and the places of the first few."""

    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ImportReport:
    """Report of an import.

    Attributes:
        lines: of the manifest.
        images: different ones.
        remarks: kinds of remarks, those of something skipped with True.
        first: the first lines.
    """

    lines: int = 0
    images: int = 0
    remarks: dict[tuple[str, bool], RemarkCount] = field(default_factory=dict)
    first: list[Line] = field(default_factory=list)

    def add(self, remark: Remark) -> None:
        """Count a remark, and keep the first places that it is about."""
        counted = self.remarks.setdefault((remark.what, remark.skipped), RemarkCount())
        counted.count += 1
        if len(counted.places) < NAMED:
            counted.places.append(remark.where[:_MOST_CHARACTERS].replace("\n", "\\n"))

    @property
    def skipped(self) -> int:
        """Number of samples and turns left out."""
        return sum(each.count for (_, skipped), each in self.remarks.items() if skipped)

    def told(self) -> Iterator[str]:
        """Return the remarks in words, those of something skipped first."""
        for (what, _), each in sorted(self.remarks.items(), key=lambda item: not item[0][1]):
            more = f" and {each.count - len(each.places)} more" if each.count > len(each.places) else ""
            times = f"{each.count} x " if each.count > 1 else ""
            yield f"{times}{what}: {', '.join(each.places)}{more}"


def check_target(target: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a place for a manifest that would destroy something, and sources that are not there.

    Raises:
        ImportRefused: it is a folder, one of the files to read, or there already and not to be replaced.
    """
    for source in sources:
        if not source.exists():
            raise ImportRefused(f"{source}: there is no such file")
    if target.is_dir():
        raise ImportRefused(f"{target}: is a folder; name the manifest to write, such as {target / 'manifest.jsonl'}")
    if not target.exists():
        return
    if any(source.samefile(target) for source in sources):
        raise ImportRefused(f"{target}: would replace what is read; name another file for the manifest")
    if not overwrite:
        raise ImportRefused(f"{target}: is there already; --overwrite replaces it")


def write_import(found: Iterable[FoundSample | Remark], target: Path, missing: Missing = "skip") -> ImportReport:
    """Write what a reader finds as a manifest, which appears whole or not at all.

    Args:
        found: by a reader.
        target: the manifest; see `check_target`.
        missing: what becomes of samples whose image file is not there.

    Raises:
        ImportRefused: there is no line to write, or an image is missing and that is refused.
        DataError, OSError: what a reader met, or the manifest cannot be written.
    """
    report = ImportReport()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file_appearing_whole(target) as file:
            for line in _reported(found, _Places(target), report, missing):
                file.write(line_text(line))
            if not report.lines:
                told = [f"{target}: not written, for nothing was found to write", *report.told()]
                raise ImportRefused("\n".join(told))
    except _ReadingFailed as failed:
        raise failed.error from None
    return report


def _reported(
    found: Iterable[FoundSample | Remark], places: _Places, report: ImportReport, missing: Missing
) -> Iterator[Line]:
    """Return the lines of what is found, and count them and what is remarked."""
    for each in _read(found):
        if isinstance(each, Remark):
            report.add(each)
            continue
        for line in _lines(each, places, report, missing):
            report.lines += 1
            if len(report.first) < NAMED:
                report.first.append(line)
            yield line
    report.images = places.used


def _read(found: Iterable[FoundSample | Remark]) -> Iterator[FoundSample | Remark]:
    try:
        yield from found
    except OSError as error:
        raise _ReadingFailed(error) from None


def _lines(sample: FoundSample, places: _Places, report: ImportReport, missing: Missing) -> Iterator[Line]:
    path = places.path_of(sample.images)
    if path is None:
        where = f"{sample.images[0]} ({sample.where})"
        if missing == "refuse":
            raise ImportRefused(f"{where}: there is no such image; --missing skip leaves such samples out")
        report.add(Remark(NO_FILE, where))
        return
    for turn in sample.turns:
        instruction, response = map(_plain, (turn.instruction, turn.response))
        wrong = _wrong(instruction, response)
        if wrong:
            report.add(Remark(wrong, sample.where))
        else:
            yield Line(path, instruction, response)


def _plain(text: str) -> str:
    """Return a text with the line ends that a manifest has, and none around it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _wrong(instruction: str, response: str) -> str:
    if not instruction:
        return "turn without a question"
    if not response:
        return "turn without an answer"
    return "" if is_unicode(instruction) and is_unicode(response) else "turn with half of a character in its text"


class _Places:
    """Paths of images as the manifest names them, each looked for once."""

    def __init__(self, target: Path) -> None:
        self._folder = Path(os.path.abspath(target.parent))
        self._known: dict[Path, str | None] = {}

    @property
    def used(self) -> int:
        return len({path for path in self._known.values() if path is not None})

    def path_of(self, candidates: Sequence[Path]) -> str | None:
        """Return the path of the first candidate that is a file, relative to the manifest; None if none is."""
        if candidates[0] not in self._known:
            there = next((path for path in candidates if os.path.isfile(path)), None)
            self._known[candidates[0]] = None if there is None else self._relative(there)
        return self._known[candidates[0]]

    def _relative(self, path: Path) -> str:
        whole = Path(os.path.abspath(path))
        relative = Path(os.path.relpath(whole, self._folder))
        # Behind a symbolic link `..` may lead elsewhere.
        return relative.as_posix() if os.path.isfile(self._folder / relative) else whole.as_posix()

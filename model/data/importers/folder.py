"""Importer of a folder of pictures with captions: a text file beside each picture, or one for all of them.

Knows no tensors. Any thread or process.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from model.data.fields import DataError
from model.data.importers.importing import FoundSample, ImportRefused, Remark
from model.data.samples import Turn
from model.data.texts import encoding_of, guessed, lines_of_text
from model.pixels.image_names import IMAGE_SUFFIXES

_BESIDE = (".txt", ".caption")
_BEHIND_A_NAME = ("\t", ",", ":", "|", ";")
_NUMBERED = re.compile(r"#\d+$")  # as in Flickr8k: a.jpg#0
_HEADER = re.compile(
    r"(?i)(image|file|picture|photo|name|path)[ _]?(name|path|file)?\W+(caption|text|comment|description)\w*\W*$"
)
_TRIED = 4  # places in a line where its picture's name may end, of each kind


def folder_samples(folder: Path, captions: Path | None, instruction: str) -> Iterator[FoundSample | Remark]:
    """Read the pictures of a folder and of the folders in it, each with its caption.

    Args:
        folder: the pictures.
        captions: one text file for all: lines of a picture's name, a tab, comma or colon, and its caption; or captions
            alone, in the order of the names. None looks for `a.txt` beside `a.jpg`.
        instruction: what every caption answers.

    Raises:
        ImportRefused: there is no picture, no caption, or it is not clear whose a caption is.
        DataError: the one file with captions is in no encoding.
        OSError: something cannot be read.
    """
    if not folder.is_dir():
        raise ImportRefused(f"{folder}: there is no such folder")
    pictures = {path.relative_to(folder).as_posix(): path for path in _pictures(folder)}
    if not pictures:
        raise ImportRefused(f"{folder}: there is no picture in this folder ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return _beside(pictures, folder, instruction) if captions is None else _in_file(pictures, captions, instruction)


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key by which names sort as people count: 2.jpg before 10.jpg.

    >>> sorted(["10.jpg", "a.jpg", "2.jpg"], key=natural_order)
    ['2.jpg', '10.jpg', 'a.jpg']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", name.lower())
    return [(int(part), "") if part.isdecimal() else (1 << 62, part) for part in parts]


def _pictures(folder: Path) -> list[Path]:
    """List pictures as `pheye caption` finds them: in folders too, hidden ones not, links to folders not followed.

    Raises:
        OSError: a folder cannot be listed: without its pictures, captions could become those of others.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, each) for each in names if not each.startswith(".")]
    pictures = [path for path in found if _is_picture(path.name)]
    paths = {path.relative_to(folder).as_posix(): path for path in pictures}
    return [paths[name] for name in sorted(paths, key=lambda name: (natural_order(name), name))]  # 01 before 1 anywhere


def _beside(pictures: Mapping[str, Path], folder: Path, instruction: str) -> Iterator[FoundSample | Remark]:
    used: set[Path] = set()
    for name, path in pictures.items():
        file = _caption_file(path)
        if file is None:
            yield Remark("picture without a caption file beside it", name)
            continue
        used.add(file)
        try:
            encoding = encoding_of(file)
            text = " ".join(file.read_text(encoding=encoding).split())
        except UnicodeError:
            yield Remark(f"caption file that begins as {encoding} and does not go on so", str(file))
            continue
        except OSError as error:
            yield Remark(f"caption file that cannot be read ({error.strerror})", str(file))
            continue
        if guessed(file, encoding):
            yield Remark(f"caption not in UTF-8, read as {encoding}", str(file), skipped=False)
        if text:
            yield FoundSample(name, (path,), (Turn(instruction, text),))
        else:
            yield Remark("picture whose caption file is empty", name)
    if not used:
        raise ImportRefused(_no_caption(folder))
    for parent in dict.fromkeys(path.parent for path in pictures.values()):
        for file in sorted(parent.glob("*.txt")):
            if file not in used:
                yield Remark("caption file without a picture", str(file))


def _caption_file(picture: Path) -> Path | None:
    names = [picture.with_suffix(ending) for ending in _BESIDE]
    names += [picture.with_name(picture.name + ending) for ending in _BESIDE]
    upper = [path.with_suffix(path.suffix.upper()) for path in names]
    return next((path for path in [*names, *upper] if path.is_file()), None)


def _no_caption(folder: Path) -> str:
    words = f"{folder}: no picture has a caption beside it, such as a.txt beside a.jpg"
    texts = sorted(folder.glob("*.txt"))
    tables = sorted(path for ending in ("csv", "tsv", "jsonl") for path in folder.glob(f"*.{ending}"))
    if texts:
        return f"{words}; if {texts[0]} has them all, add --captions {texts[0]}"
    if tables:
        return f"{words}; if {tables[0]} has them all, it is `pheye manifest csv {tables[0]} MANIFEST`"
    return f"{words}; or name one file with all of them by --captions"


def _in_file(pictures: Mapping[str, Path], captions: Path, instruction: str) -> Iterator[FoundSample | Remark]:
    encoding = encoding_of(captions)
    if words := guessed(captions, encoding):
        yield Remark(words.removeprefix(f"{captions}: "), str(captions), skipped=False)
    try:
        lines = list(lines_of_text(captions, encoding))
    except UnicodeError as error:
        raise DataError(f"{captions}: cannot be read as {encoding}, as which it begins: {error}") from None
    if lines and _HEADER.match(lines[0][1]) and len(lines) > 1:
        lines = lines[1:]
    known = _by_any_name(pictures)
    named = [(number, text, _split(text, pictures, known)) for number, text in lines]
    count = sum(split is not None for _, _, split in named)
    if 2 * count < len(named) and count:
        number = next(number for number, _, split in named if split is None)
        raise ImportRefused(
            f"{captions}: {count} of {len(named)} lines begin with the name of a picture and the others do not, such "
            f"as line {number}; begin all of them with a name and a tab, or none"
        )
    yield from (
        _named_lines(named, captions, instruction, pictures)
        if count
        else _in_order(lines, captions, instruction, pictures)
    )


def _named_lines(
    named: list[tuple[int, str, tuple[Path | str, str] | None]],
    captions: Path,
    instruction: str,
    pictures: Mapping[str, Path],
) -> Iterator[FoundSample | Remark]:
    used = set()
    for number, _, split in named:
        where = f"{captions}, line {number}"
        if split is None:
            yield Remark("line that does not begin with the name of a picture", where)
            continue
        picture, caption = split
        if isinstance(picture, str):
            yield Remark("line about a picture that is not there", f"{where}: {picture}")
        elif not caption:
            yield Remark("line without a caption", where)
        else:
            used.add(picture)
            yield FoundSample(where, (picture,), (Turn(instruction, caption),))
    for name, path in pictures.items():
        if path not in used:
            yield Remark("picture without a caption", name)


def _in_order(
    lines: list[tuple[int, str]], captions: Path, instruction: str, pictures: Mapping[str, Path]
) -> Iterator[FoundSample | Remark]:
    if len(lines) != len(pictures):
        raise ImportRefused(
            f"{captions}: {len(lines)} captions that name no picture, and {len(pictures)} pictures: begin each line "
            "with its picture's name and a tab, or have as many lines as pictures, in the order of the names"
        )
    pairs = list(zip(pictures.items(), lines, strict=True))
    shown = "; ".join(f"{name}: {text.strip()[:40]}" for (name, _), (_, text) in pairs[:2])
    yield Remark("captions matched in the order of the names, 2 before 10", shown, skipped=False)
    for (name, path), (number, text) in pairs:
        yield FoundSample(f"{captions}, line {number} ({name})", (path,), (Turn(instruction, text.strip()),))


def _by_any_name(pictures: Mapping[str, Path]) -> dict[str, Path | None]:
    """Map what a picture may be called, in lower case, to it: path, file name, either without its ending.

    None for two of one name; two paths may differ in their case alone.
    """
    known: dict[str, Path | None] = {}
    for name, path in pictures.items():
        for each in dict.fromkeys((name, path.name, name.removesuffix(path.suffix), path.stem)):
            known[each.lower()] = None if each.lower() in known else path
    times = Counter(map(str.lower, pictures))
    return known | {name.lower(): path for name, path in pictures.items() if times[name.lower()] == 1}


def _split(text: str, pictures: Mapping[str, Path], known: Mapping[str, Path | None]) -> tuple[Path | str, str] | None:
    """Split a line into its picture, or the name of one that is not there, and its caption."""
    missing: tuple[Path | str, str] | None = None
    for mark in _BEHIND_A_NAME:
        parts = text.split(mark)
        for end in range(1, min(len(parts), _TRIED + 1)):
            name = _name(mark.join(parts[:end]))
            caption = _unquoted(mark.join(parts[end:]))
            if name.lower() in known:
                found = pictures.get(name) or known[name.lower()]
                return found or f"{name}, which several pictures are called", caption
            if missing is None and _is_picture(name):
                missing = (name, caption)
    if missing is None and _is_picture(_name(text)):
        missing = (pictures.get(_name(text)) or known.get(_name(text).lower()) or _name(text), "")
    return missing


def _name(text: str) -> str:
    return _NUMBERED.sub("", text.strip().strip('"')).removeprefix("./").replace("\\", "/")


def _is_picture(name: str) -> bool:
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    return text.strip()

"""A folder of pictures: captions beside them, in one file by name, or in the order of the names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from model.data.fields import DataError
from model.data.importers.folder import folder_samples
from model.data.importers.importing import ImportRefused, write_import
from model.data.manifest import read_manifest
from tests.support import datasets


def pictures(folder: Path, *names: str) -> Path:
    for place, name in enumerate(names):
        datasets.picture(folder / "pictures" / name, place)
    return folder / "pictures"


def imported(folder: Path, captions: Path | None = None) -> tuple[dict[str, list[str]], list[str]]:
    report = write_import(folder_samples(folder, captions, "Tell me"), folder.parent / "mine.jsonl")
    source = read_manifest(folder.parent / "mine.jsonl")
    found = {
        image.relative_to(folder).as_posix(): [turn.response for turn in turns]
        for image, turns in zip(source.images, source.turns, strict=True)
    }
    assert {turn.instruction for turns in source.turns for turn in turns} == {"Tell me"}
    return found, [text.replace(f"{folder.parent}/", "") for text in report.told()]


def captions(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "captions.txt"
    file.write_bytes(text.encode(encoding))
    return file


def test_captions_lie_beside_their_pictures(tmp_path: Path) -> None:
    names = ("a.jpg", "b.PNG", "sub/-rf.webp", "c.jpg", "d.jpg", "e.jpg", ".hidden.jpg")
    folder = pictures(tmp_path, *names)
    texts = {"a.txt": b"\xef\xbb\xbfA\r\nred  bus\r\n", "b.PNG.txt": b"A bus", "sub/-rf.caption": b"It is old."}
    texts |= {"c.TXT": "Un café".encode("latin-1"), "d.txt": b" \n", "x.txt": b"Lost"}
    for name, data in texts.items():
        (folder / name).write_bytes(data)
    found, told = imported(folder)
    assert found == {"a.jpg": ["A red bus"], "b.PNG": ["A bus"], "sub/-rf.webp": ["It is old."], "c.jpg": ["Un café"]}
    assert told == [
        "picture whose caption file is empty: d.jpg",
        "picture without a caption file beside it: e.jpg",
        "caption file without a picture: pictures/x.txt",
        "caption not in UTF-8, read as cp1252: pictures/c.TXT",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\tA bus\nb b, c.jpg\tTwo: one, two\n",
        "a.jpg, A bus\r\nb b, c.jpg,Two: one, two\r\n",
        "A.JPG: A bus\nb b, c : Two: one, two\n",
        'image,caption\na.jpg,A bus\n"b b, c.jpg","Two: one, two"\n',
        "image_name| comment\na.jpg| A bus\nb b, c.jpg#1\tTwo: one, two\n",
    ],
    ids=["tab", "comma", "colon", "csv", "flickr"],
)
def test_lines_name_their_pictures(text: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.jpg", "b b, c.jpg")
    found, told = imported(folder, captions(tmp_path, text))
    assert found == {"a.jpg": ["A bus"], "b b, c.jpg": ["Two: one, two"]}
    assert told == []


def test_lines_that_name_no_picture_and_pictures_that_no_line_names_are_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.jpg", "b.jpg", "x/c.jpg", "y/c.jpg")
    text = "a.jpg: One\na.jpg: Two\nx/c.jpg: Three\ngone.jpg: Four\nFive\na.jpg\nc.jpg: Six\n"
    found, told = imported(folder, captions(tmp_path, text))
    assert found == {"a.jpg": ["One", "Two"], "x/c.jpg": ["Three"]}
    assert told == [
        "2 x line about a picture that is not there: captions.txt, line 4: gone.jpg, "
        "captions.txt, line 7: c.jpg, which several pictures are called",
        "line that does not begin with the name of a picture: captions.txt, line 5",
        "line without a caption: captions.txt, line 6",
        "2 x picture without a caption: b.jpg, y/c.jpg",
    ]


def test_names_that_differ_in_their_case_alone_are_different_pictures(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "A.jpg", "a.jpg")
    found, told = imported(folder, captions(tmp_path, "A.jpg: Large\na.jpg: Small\nA.JPG: Which?\n"))
    assert found == {"A.jpg": ["Large"], "a.jpg": ["Small"]}
    assert told == [
        "line about a picture that is not there: captions.txt, line 3: A.JPG, which several pictures are called"
    ]


def test_captions_alone_are_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "10.jpg", "9.jpg", "a.jpg")
    found, told = imported(folder, captions(tmp_path, "Neun\n\nZehn: ä\nA\n", "utf-16"))
    assert found == {"9.jpg": ["Neun"], "10.jpg": ["Zehn: ä"], "a.jpg": ["A"]}
    assert told == ["captions matched in the order of the names, 2 before 10: 9.jpg: Neun; 10.jpg: Zehn: ä"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("One\nTwo\nThree\n", "captions.txt: 3 captions that name no picture, and 2 pictures"),
        ("a.jpg: One\nTwo\nThree\n", "captions.txt: 1 of 3 lines begin with the name of a picture .* such as line 2"),
        ("", "captions.txt: 0 captions that name no picture"),
        (None, "if .*pictures/all.txt has them all, add --captions .*pictures/all.txt"),
    ],
    ids=["count", "some", "empty", "none"],
)
def test_what_is_not_clear_is_refused_with_what_to_do(text: str | None, words: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.jpg", "b.jpg")
    (folder / "all.txt").write_text("x")
    with pytest.raises(ImportRefused, match=words):
        imported(folder, None if text is None else captions(tmp_path, text))
    assert not (tmp_path / "mine.jsonl").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [([], "there is no picture in this folder"), (["a.jpg", "t.csv"], "it is `pheye manifest csv .*t.csv MANIFEST`")],
    ids=["no picture", "a table"],
)
def test_a_folder_that_is_something_else_is_refused(names: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in names:
        (tmp_path / "pictures" / name).write_text("x")
    with pytest.raises(ImportRefused, match=words):
        imported(tmp_path / "pictures")
    with pytest.raises(ImportRefused, match="there is no such folder"):
        imported(tmp_path / "nowhere")


def test_a_broken_caption_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.jpg", "b.jpg")
    (folder / "a.txt").write_text("A bus", encoding="utf-8")
    (folder / "b.txt").write_bytes(b"\xff\xfe\0")
    found, told = imported(folder)
    assert found == {"a.jpg": ["A bus"]}
    assert told == ["caption file that begins as utf-16 and does not go on so: pictures/b.txt"]
    (tmp_path / "all.txt").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match=r"all\.txt: cannot be read as utf-16"):
        imported(folder, tmp_path / "all.txt")


def test_a_folder_inside_that_cannot_be_listed_ends_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").touch()
    listed = os.scandir

    def refusing(path: Any) -> Any:  # as for a user who is not root, whom no mode of a folder keeps out
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError):
        list(folder_samples(tmp_path, None, "Tell me"))

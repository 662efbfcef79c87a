"""Folders: every image that can be read is found, and nothing that is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from service.batch.find_images import NothingToDo, find_images


@pytest.mark.parametrize(
    "name",
    [
        *("a.jpg", "a.JPEG", "a.jpe", "a.jfif", "a.png", "a.apng", "a.webp", "a.gif", "a.bmp", "a.dib", "a.tif"),
        *("a.TIFF", "a.avif", "a.heic", "a.HEIF", "a.hif", "a.mpo"),
    ],
)
def test_every_ending_of_a_format_that_is_read_is_found(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert find_images([tmp_path]) == (tmp_path / name,)


def test_an_empty_name_is_not_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NothingToDo, match="an empty name"):
        find_images([""])
    assert find_images(["."]) == (Path("photo.jpg"),)


def test_hidden_files_and_folders_are_passed_over_unless_they_are_named(tmp_path: Path) -> None:
    (tmp_path / ".thumbnails").mkdir()
    for name in ("photo.jpg", "._photo.jpg", ".thumbnails/photo.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert find_images([tmp_path]) == (tmp_path / "photo.jpg",)
    assert find_images([tmp_path / "._photo.jpg"]) == (tmp_path / "._photo.jpg",)
    (tmp_path / "photo.jpg").unlink()
    with pytest.raises(NothingToDo, match="there is no image in this folder"):
        find_images([tmp_path])


def test_a_folder_inside_that_cannot_be_listed_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images would be missing among the answers, and nobody would know."""
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").touch()
    listed = os.scandir

    def refusing(path: Any) -> Any:  # as for a user who is not root, whom no mode of a folder keeps out
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert find_images([tmp_path]) == (tmp_path / "open" / "photo.jpg", tmp_path / "closed")

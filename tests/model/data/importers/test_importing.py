"""Writing of a manifest: places in it, and nothing lost that was there before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.data.importers.importing import FoundSample, ImportRefused, Remark, check_target, write_import
from model.data.manifest import read_manifest
from model.data.samples import Turn
from tests.support import datasets

TURN = (Turn("What?", " red "),)


def test_paths_are_relative_to_the_manifest_and_still_right_behind_a_link(tmp_path: Path) -> None:
    picture = datasets.picture(tmp_path / "data" / "a.jpg")
    report = write_import([FoundSample("1", (tmp_path / "x.jpg", picture), TURN)], tmp_path / "out" / "mine.jsonl")
    assert (report.lines, report.images, report.skipped) == (1, 1, 0)
    line = json.loads((tmp_path / "out" / "mine.jsonl").read_text())
    assert line == {"image": "../data/a.jpg", "instruction": "What?", "response": "red"}
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    write_import([FoundSample("1", (picture,), TURN)], tmp_path / "link" / "mine.jsonl")
    assert len(read_manifest(tmp_path / "link" / "mine.jsonl")) == 1


def test_missing_images_are_told_or_refused_and_an_empty_manifest_is_never_written(tmp_path: Path) -> None:
    gone = [FoundSample(f"entry {place}", (tmp_path / f"{place}.jpg",), TURN) for place in range(5)]
    target = tmp_path / "mine.jsonl"
    target.write_text("before")
    with pytest.raises(ImportRefused, match=r"entry 0\): there is no such image; --missing skip"):
        write_import(gone, target, "refuse")
    with pytest.raises(ImportRefused, match=r"nothing was found to write\n5 x image file missing: .* and 2 more$"):
        write_import(gone, target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
    here = FoundSample("here", (datasets.picture(tmp_path / "a.jpg"),), TURN)
    report = write_import([here, *gone, Remark("thing", "place\n2")], target)
    assert list(report.told())[1] == "thing: place\\n2"
    assert (report.lines, report.skipped) == (1, 6)


def test_what_breaks_on_the_way_leaves_the_old_manifest(tmp_path: Path) -> None:
    picture, target = datasets.picture(tmp_path / "a.jpg"), tmp_path / "mine.jsonl"
    target.write_text("before")

    def broken() -> Iterator[FoundSample]:
        yield FoundSample("1", (picture,), TURN)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_import(broken(), target)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "mine.jsonl"]


def test_a_file_that_cannot_be_read_is_named_and_not_the_manifest(tmp_path: Path) -> None:
    def unreadable() -> Iterator[FoundSample]:
        yield FoundSample("1", (datasets.picture(tmp_path / "a.jpg"),), TURN)
        (tmp_path / "gone.json").read_bytes()

    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        write_import(unreadable(), tmp_path / "mine.jsonl")
    assert not (tmp_path / "mine.jsonl").exists()


def test_nothing_is_replaced_without_a_word(tmp_path: Path) -> None:
    target = tmp_path / "mine.jsonl"
    check_target(target, [tmp_path], overwrite=False)
    target.write_text("before")
    with pytest.raises(ImportRefused, match="is there already; --overwrite replaces it"):
        check_target(target, [], overwrite=False)
    check_target(target, [tmp_path], overwrite=True)
    with pytest.raises(ImportRefused, match="other: there is no such file"):
        check_target(target, [tmp_path / "other"], overwrite=True)
    with pytest.raises(ImportRefused, match="would replace what is read"):
        check_target(target, [target], overwrite=True)
    with pytest.raises(ImportRefused, match="is a folder; name the manifest to write"):
        check_target(tmp_path, [], overwrite=True)


def test_a_place_of_any_length_is_told_in_short(tmp_path: Path) -> None:
    image = datasets.picture(tmp_path / "a.jpg")
    found = [Remark("odd", "x" * 99_999), FoundSample("here", (image,), (Turn("What?", "A bus."),))]
    report = write_import(found, tmp_path / "mine.jsonl")
    assert len("".join(report.told())) < 1100

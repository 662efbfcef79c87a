"""Own data are split by image, always in the same way, and no picture is on both sides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from model.data.manifest import ManifestError, ManifestSource, read_manifest
from model.data.split import Split, digest, split_by_file, split_by_share
from tests.support.small_model import write_pictures


def split(manifest: Path, share: float | None = 0.2) -> Split:
    return split_by_share([read_manifest(manifest)], [manifest.parent], share)


def names(source: ManifestSource | None) -> list[str]:
    assert source is not None
    return [image.name for image in source.images]


def test_the_split_is_the_same_in_any_order_and_any_folder(tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path / "one")
    found = split(manifest)
    assert (len(found.training[0]), len(names(found.validation))) == (16, 4)
    assert not set(names(found.training[0])) & set(names(found.validation))
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "moved")
    moved = tmp_path / "two" / "moved" / manifest.name
    moved.write_text("\n".join(reversed(moved.read_text().splitlines())))
    assert sorted(names(split(moved).validation)) == sorted(names(found.validation))


def test_all_turns_about_a_picture_go_to_its_side_whatever_its_copies_are_called(tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path, count=4)
    for index in range(4):
        shutil.copy(tmp_path / "images" / f"{index}.png", tmp_path / "images" / f"copy-{index}.png")
    more = [
        {"image": f"images/{name}{index}.png", "instruction": f"And {name}?", "response": "yes"}
        for name in ("", "copy-")
        for index in range(4)
    ]
    with manifest.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in more)
    found = split(manifest, 0.25)
    assert found.validation is not None
    assert len(found.validation) == 1
    assert [len(turns) for turns in found.validation.turns] == [3]
    held = found.validation.images[0].name.removeprefix("copy-")
    assert {name.removeprefix("copy-") for name in names(found.training[0])} == {f"{n}.png" for n in range(4)} - {held}
    assert len(found.training[0]) == 6


def test_a_picture_that_is_trained_on_is_refused_for_validation_under_any_name(tmp_path: Path) -> None:
    manifest, other = write_pictures(tmp_path / "one"), write_pictures(tmp_path / "two", count=1)
    with pytest.raises(ManifestError, match=r"two/images/0.png is the same picture as .*one/images/0.png, which is"):
        split_by_file([read_manifest(manifest)], other)
    with pytest.raises(ManifestError, match=r"0\.png is trained on as well; a picture must be on one side only"):
        split_by_file([read_manifest(manifest)], manifest)


def test_a_share_that_leaves_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="1 of 1 images would be held out, and none left to learn from"):
        split(write_pictures(tmp_path, count=1), 0.5)


def test_the_digest_tells_other_words_and_not_another_folder(tmp_path: Path) -> None:
    one, two = write_pictures(tmp_path / "one", count=2), write_pictures(tmp_path / "two", count=2)
    assert digest(read_manifest(one)) == digest(read_manifest(two))
    two.write_text(two.read_text().replace("red", "pink"))
    assert digest(read_manifest(one)) != digest(read_manifest(two))

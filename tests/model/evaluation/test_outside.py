"""What is asked to see whether a model knows what it does not know: photographs, pictures of no meaning, own scenes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from model.data.fields import DataError
from model.data.world.paint import Letter
from model.data.world.scene import Box
from model.evaluation.formats import outside
from model.evaluation.formats.abstract_pictures import abstract_kind, abstract_picture
from model.evaluation.formats.outside import installed_photographs, read_outside
from model.evaluation.formats.scenes import is_cut, keep_picture, read_scenes


def test_every_picture_is_asked_for_three_captions_and_two_signs(tmp_path: Path) -> None:
    photograph = tmp_path / "a.jpg"
    Image.new("RGB", (30, 20), "gray").save(photograph)
    cases = read_outside([photograph], tmp_path / "made", 2, 6, "test", "No idea.")
    counts = Counter((each.kind, each.group.partition(" / ")[0]) for each in cases)
    own = counts["refused", "captions"] // 3
    assert counts == {
        ("outside", "photographs, captions"): 3,
        ("outside", "photographs, sign questions"): 2,
        ("outside", "pictures of no meaning, captions"): 6,
        ("outside", "pictures of no meaning, sign questions"): 4,
        ("sign", "on photographs"): 4,
        ("refused", "captions"): 3 * own,
        ("refused", "sign questions"): 2 * own,
    }
    assert 4 <= own <= 6, "a scene with nothing in it is rightly refused, and not asked about"
    assert {each.references for each in cases if each.kind != "sign"} == {("No idea.",)}
    assert all(each.references[0].isalnum() for each in cases if each.kind == "sign")
    assert all(each.image_path.exists() for each in cases)
    assert len({each.id for each in cases}) == len(cases)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    kinds = {each.kind for each in read_outside([tmp_path / "broken.jpg"], tmp_path / "made", 0, 0, "test", "No.")}
    assert kinds == {"outside"}, "it is asked about, and reported as what it is"
    again = read_outside([photograph], tmp_path / "made", 2, 6, "test", "No idea.")
    assert again == cases


def test_other_photographs_get_signs_of_their_own(tmp_path: Path) -> None:
    signed = []
    for name in ("red", "blue"):
        Image.new("RGB", (30, 20), name).save(tmp_path / f"{name}.png")
        cases = read_outside([tmp_path / f"{name}.png"], tmp_path / "made", 0, 0, "test", "No idea.")
        signed.append([each for each in cases if each.kind == "sign"])
    for red, blue in zip(*signed, strict=True):
        assert red.id != blue.id, "an answer about one is not one about the other"
        assert red.image_path.read_bytes() != blue.image_path.read_bytes()


def test_a_picture_that_was_not_painted_to_its_end_is_painted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(image: Image.Image, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_scenes(tmp_path, 2, "test")
    for case in read_scenes(tmp_path, 2, "test"):
        with Image.open(case.image_path) as painted:
            painted.load()


def test_pictures_of_no_meaning_are_of_many_kinds_and_the_same_for_the_same_seed() -> None:
    assert len({abstract_kind(index) for index in range(16)}) == 8
    for index in range(8):
        picture = abstract_picture("a", index)
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 1, "none is a blank sheet"
    assert picture.tobytes() == abstract_picture("a", 7).tobytes() != abstract_picture("b", 7).tobytes()


def test_the_photographs_come_from_installed_packages_alone() -> None:
    found = installed_photographs()
    assert {"astronaut.png", "chelsea.png", "china.jpg", "flower.jpg"} <= {path.name for path in found}
    assert all(path.is_file() for path in found)


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"scikit-image .* pip install 'pheye-service\[evaluate\]'.*--photographs"):
        installed_photographs()


def test_no_scene_of_the_training_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trained on"):
        read_outside([], tmp_path, 1, 1, "train", "No.")
    with pytest.raises(ValueError, match="trained on"):
        read_scenes(tmp_path, 1, "train")


def test_a_sign_is_cut_if_the_edge_of_a_tile_runs_through_a_letter(tmp_path: Path) -> None:
    letter = Letter("A", Box(0.30, 0.4, 0.36, 0.6))
    assert [is_cut([letter], level) for level in (1, 2, 3)] == [False, True, True]
    between = [Letter("A", Box(0.24, 0.1, 0.32, 0.3)), Letter("B", Box(0.35, 0.1, 0.43, 0.3))]
    assert not is_cut(between, 3), "the edge runs between two letters"
    cases = read_scenes(tmp_path, 30, "test")
    assert {each.group for each in cases if each.kind == "several"} <= {"colour", "shape", "place", "relation"}
    named = [each.references for each in cases if each.kind == "background"]
    assert named
    assert set(named) <= {("noisy",), ("none", "plain"), ("none", "striped"), ("none", "gradient")}
    others = {each.group: each.references[0] for each in cases if each.kind == "other_sign"}
    assert len(others["longer"]) > 6
    assert "0" in others["numbers with zeros"]
    assert others["lower case"] != others["lower case"].upper()
    groups = {each.group for each in cases if each.kind == "sign"}
    assert groups <= {f"{size} / {cut}" for size in ("small", "medium", "large") for cut in ("cut", "whole")}


def test_a_picture_that_two_processes_paint_at_once_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = tmp_path / "a.png", Image.new("RGB", (3, 2), "gray")

    def save(partial: Path) -> None:
        """Write it while another process begins and ends to write the same."""
        image.save(partial)
        with monkeypatch.context() as there:
            there.setattr(os, "getpid", lambda: 1)
            keep_picture(image, path)

    keep_picture(Mock(save=save), path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
    with Image.open(path) as kept:
        assert kept.size == (3, 2)

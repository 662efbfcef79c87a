"""Pictures outside the world, and signs on photographs: the same each time, answered as they must be."""

import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from model.data.mixture import stream, truthful
from model.data.outside import packages
from model.data.outside.drawn import KINDS
from model.data.outside.pictures import Pictures, PicturesMissing
from model.data.outside.source import OutsideSource
from model.data.world.captions import NOTHING
from model.data.world.photographed import draw_signs, paint_signs


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Folder with three photographs of noise and one thing cut out."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "whole").mkdir()
    (folder / "cutouts").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "whole" / f"walls-{number:03d}.jpg")
    thing = Image.new("RGBA", (120, 120), (200, 40, 40, 0))
    thing.paste((200, 40, 40, 255), (30, 30, 90, 90))
    thing.save(folder / "cutouts" / "stamps-000.webp")
    return folder


def test_whatever_is_asked_of_a_picture_outside_the_world_the_answer_is_one_sentence(pictures):
    source = OutsideSource("test", Pictures(pictures), Pictures(pictures))
    for index in range(40):
        sample = source[index]
        assert {turn.response for turn in sample.turns} == {NOTHING}
        assert len(sample.turns) == 4
        assert sample.image.mode == "RGB"
        assert min(sample.image.size) >= 64


def test_the_truthful_stream_is_the_same_each_time_and_a_sixth_of_it_is_outside_the_world(pictures):
    one, other = truthful(pictures), stream(f"truthful:{pictures}")
    outside = 0
    for index in range(48):
        assert one[index].image.tobytes() == other[index].image.tobytes()
        assert one[index].turns == other[index].turns
        outside += {turn.response for turn in one[index].turns} == {NOTHING}
    assert 8 <= outside <= 11  # one in six, and a scene of nothing but clutter now and then
    assert any('"' in turn.response for turn in one[1].turns), "signs on a photograph"


def test_scenes_without_a_sign_are_asked_for_it_and_counted_as_if_they_were_of_the_world(pictures):
    mixture = truthful(pictures)
    samples = [mixture.inside[index] for index in range(150) if index % 3 == 2]  # one of the others is full of signs
    said = [{turn.response for turn in sample.turns} for sample in samples]
    asked = [responses for responses in said if responses & {"nothing", "There is no sign."}]
    assert len(asked) > 0.2 * len(samples)
    assert all(NOTHING not in responses for responses in asked)


def test_signs_on_a_photograph_say_what_was_drawn_within_it(pictures):
    photograph = Pictures(pictures).photograph(Random(1), (240, 200))
    scene = draw_signs(Random(2), photograph, 3)
    picture = paint_signs(scene, photograph)
    assert 1 <= len(scene.signs) <= 3
    assert ["".join(letter.text for letter in letters) for letters in picture.letters] == [s.text for s in scene.signs]
    assert picture.image.size == photograph.size
    assert picture.image.tobytes() != photograph.tobytes()
    assert picture.image.tobytes() == paint_signs(scene, photograph).image.tobytes()


@pytest.mark.parametrize("kind", sorted(set(KINDS), key=KINDS.index))
def test_every_kind_of_drawn_picture_has_its_size_and_depends_on_the_generator_alone(kind):
    assert kind(Random(5), (180, 96)).size == (180, 96)
    assert kind(Random(5), (180, 96)).tobytes() == kind(Random(5), (180, 96)).tobytes()


def test_an_empty_folder_is_refused_with_the_command_that_fills_it(tmp_path):
    with pytest.raises(PicturesMissing, match="pheye dev photographs"):
        Pictures(tmp_path).photograph(Random(1), (100, 100))


def interrupted_at(name, read):
    def reading(file):
        if file.name == name:
            raise KeyboardInterrupt
        return read(file)

    return reading


def test_pictures_of_a_package_are_kept_by_kind_and_what_is_no_picture_is_left_out(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (300, 900, 4), dtype=np.uint8)
    noise[:, :, 3] = 255
    Image.fromarray(noise).convert("RGB").save(shipped / "wall.png")
    noise[:, :450, 3] = 0
    Image.fromarray(noise).save(shipped / "stamp.png")
    (shipped / "broken.png").write_bytes(b"\x89PNG" + b"x" * 9000)
    Image.new("RGB", (16, 16)).save(shipped / "icon.png")
    monkeypatch.setattr(packages, "PACKAGES", ("walls",))
    monkeypatch.setattr(packages, "_unpacked", lambda package, scratch: shipped)
    with monkeypatch.context() as patched:
        patched.setattr(packages, "_read", interrupted_at("wall.png", packages._read))
        with pytest.raises(KeyboardInterrupt):
            packages.collect(tmp_path / "kept")
    assert packages.collect(tmp_path / "kept") == 2, "a package that was not kept to its end is kept anew"
    with Image.open(tmp_path / "kept" / "whole" / "walls-001.jpg") as whole:
        assert max(whole.size) == 480
    with Image.open(tmp_path / "kept" / "cutouts" / "walls-000.webp") as thing:
        assert thing.mode == "RGBA"


def test_a_package_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 100, "", "E: Unable to locate package walls")
    monkeypatch.setattr(packages, "PACKAGES", ("walls",))
    monkeypatch.setattr(packages.subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(OSError, match="walls: apt-get download walls failed"):
        packages.collect(tmp_path / "kept")

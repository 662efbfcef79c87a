"""Painting: colours where the scene says, letters where the picture says."""

from random import Random

import numpy as np
import pytest

from model.data.world.fonts import FontsMissing, font_with_capitals
from model.data.world.paint import paint
from model.data.world.scene import CLUTTER, draw_scene

SCENES = [draw_scene(Random(f"paint {index}")) for index in range(80)]


def test_a_picture_has_the_size_of_its_scene_and_is_the_same_each_time():
    for scene in SCENES[:20]:
        one, other = paint(scene), paint(scene)
        assert one.image.size == (scene.width_px, scene.height_px)
        assert one.image.tobytes() == other.image.tobytes()
        assert one.letters == other.letters


def test_every_shape_shows_its_colour_in_the_middle():
    for scene in SCENES:
        pixels = np.asarray(paint(scene).image)
        for shape in scene.shapes:
            x, y = shape.box.centre
            assert tuple(pixels[int(y * scene.height_px), int(x * scene.width_px)]) == shape.paint


def test_letters_lie_within_their_image_from_left_to_right_and_show_ink():
    read = 0
    for scene in SCENES:
        picture = paint(scene)
        pixels = np.asarray(picture.image).astype(int)
        for sign, letters in zip(scene.signs, picture.letters, strict=True):
            assert "".join(letter.text for letter in letters) == sign.text
            lefts = [letter.box.left for letter in letters]
            assert lefts == sorted(lefts)
            for letter in letters:
                box = letter.box
                assert -0.01 < box.left < box.right < 1.01
                part = pixels[
                    int(box.top * scene.height_px) : int(box.bottom * scene.height_px) + 1,
                    int(max(0, box.left) * scene.width_px) : int(box.right * scene.width_px) + 1,
                ]
                near = np.abs(part - np.array(sign.ink)).sum(axis=-1).min()
                assert near < 120, f"{letter.text} of {sign.text} is not there"
                read += 1
    assert read > 50


def test_clutter_is_busy():
    cluttered = [
        scene for scene in (draw_scene(Random(f"c{index}")) for index in range(120)) if scene.background == CLUTTER
    ]
    assert cluttered
    for scene in cluttered:
        assert not scene.shapes
        assert not scene.signs
        assert np.asarray(paint(scene).image).std() > 10


def test_a_capital_is_as_tall_as_asked_in_every_face():
    for font in range(20):
        _, top, _, bottom = font_with_capitals(font, 40.0).getbbox("H")
        assert bottom - top == pytest.approx(40, abs=2)


def test_a_missing_font_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("model.data.world.fonts.find_spec", lambda name: None)
    with pytest.raises(FontsMissing, match="train"):
        font_with_capitals(3, 33.3)

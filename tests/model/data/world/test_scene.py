"""Scenes: what is drawn is drawn again from the same seed, and things keep their distance."""

import os
import subprocess
import sys
from random import Random

import pytest

from model.data.world.scene import (
    CLUTTER,
    COLOURS,
    LARGEST_LETTER,
    SHAPES,
    draw_crowd,
    draw_scene,
    lightness,
)
from model.data.world.sign_texts import DIGITS, LETTERS

SCENES = [draw_scene(Random(f"test {index}")) for index in range(300)]
CROWDS = [draw_crowd(Random(f"crowd {index}")) for index in range(50)]


def test_the_same_seed_gives_the_same_scene_in_another_process_with_another_hash_seed():
    code = "from random import Random; from model.data.world.source import WorldSource as W; s = W('x')[7]; "
    code += "print(hash(s.image.tobytes()) and s.image.size, s.turns)"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_things_lie_within_the_image_and_do_not_touch():
    for scene in SCENES:
        boxes = [thing.box for thing in (*scene.shapes, *scene.signs)]
        for place, box in enumerate(boxes):
            assert 0 <= box.left < box.right <= 1
            assert 0 <= box.top < box.bottom <= 1
            assert not any(box.meets(other, 0.0) for other in boxes[:place])


def test_the_world_has_everything_that_it_can_have():
    shapes = [shape for scene in SCENES for shape in scene.shapes]
    assert {shape.colour for shape in shapes} == set(COLOURS)
    assert {shape.kind for shape in shapes} == set(SHAPES)
    assert {len(scene.shapes) for scene in SCENES} == {0, 1, 2, 3, 4}
    assert any(scene.background == CLUTTER for scene in SCENES)
    assert {64} < {scene.width_px for scene in SCENES}


def test_an_ordinary_scene_has_at_most_one_sign_and_a_crowd_more():
    assert {len(scene.signs) for scene in SCENES} == {0, 1}
    assert max(len(scene.signs) for scene in CROWDS) > 3


def test_signs_say_two_to_six_letters_or_digits_that_stand_out():
    for sign in (sign for scene in (*SCENES, *CROWDS) for sign in scene.signs):
        assert 2 <= len(sign.text) <= 6
        assert set(sign.text) <= set(LETTERS + DIGITS)
        assert sign.letter_height <= LARGEST_LETTER
        if sign.board is not None:
            assert abs(lightness(sign.ink) - lightness(sign.board)) > 70


def test_shapes_come_in_reading_order():
    for scene in SCENES:
        keys = [(int(shape.box.centre[1] * 3), shape.box.centre[0]) for shape in scene.shapes]
        assert keys == sorted(keys)


@pytest.mark.parametrize(("easy", "plain"), [(1.0, True), (0.0, False)], ids=["easy", "as it is"])
def test_easy_signs_are_black_on_white(easy, plain):
    signs = [sign for index in range(40) for sign in draw_crowd(Random(f"easy {index}"), easy).signs]
    assert all(sign.board == (255, 255, 255) and sign.ink == (0, 0, 0) for sign in signs) == plain

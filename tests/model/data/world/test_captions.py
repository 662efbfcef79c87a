"""Captions: every one names what is there, where it is, and what the sign says."""

from random import Random

import pytest

from model.data.world.captions import NOTHING, caption, named, place
from model.data.world.scene import Box, draw_scene
from model.evaluation.metrics.exact import colour_shape_match, sign_match

SCENES = [draw_scene(Random(f"caption {index}")) for index in range(300)]


@pytest.mark.parametrize("length", ["short", "normal", "long"])
def test_a_caption_names_each_shape_and_no_other(length):
    for scene in SCENES:
        assert colour_shape_match(caption(scene, length), [named(shape) for shape in scene.shapes]) == 1


@pytest.mark.parametrize("length", ["short", "normal", "long"])
def test_a_caption_reads_the_sign(length):
    for scene in SCENES:
        said = caption(scene, length)
        assert (scene.sign is not None) == ('"' in said)
        if scene.sign is not None:
            assert sign_match(said, [scene.sign.text]) == 1


def test_a_scene_text_caption_is_one_sentence_about_text():
    for scene in SCENES:
        said = caption(scene, "long", "scene_text")
        assert said.count(".") == 1
        if said != NOTHING:
            assert "sign" in said or "without any text" in said


@pytest.mark.parametrize(
    ("centre", "words"),
    [
        ((0.5, 0.5), "in the center"),
        ((0.1, 0.1), "at the top left"),
        ((0.9, 0.5), "on the right"),
        ((0.5, 0.9), "at the bottom"),
    ],
    ids=["center", "corner", "side", "bottom"],
)
def test_a_place_is_one_of_nine(centre, words):
    x, y = centre
    assert place(Box(x - 0.05, y - 0.05, x + 0.05, y + 0.05)) == words


def test_long_captions_tell_the_count_and_a_background_that_can_be_seen():
    for scene in SCENES:
        said = caption(scene, "long")
        if said != NOTHING:
            assert ("no shapes", "one shape", "two shapes", "three shapes", "four shapes")[len(scene.shapes)] in said
            assert ("background" in said) == ("on a noisy background" in said) == (scene.background == "noisy")

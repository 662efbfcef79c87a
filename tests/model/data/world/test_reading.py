"""Turns about scenes full of signs: true of the scene, and as many letters as there are."""

import re
from collections import Counter
from dataclasses import replace
from random import Random

from model.data.world.captions import place
from model.data.world.reading import reading, reading_turns
from model.data.world.scene import Box, draw_crowd


def test_all_signs_are_read_with_their_places_in_reading_order():
    crowd = draw_crowd(Random(1))
    low = replace(crowd.signs[0], text="LOW", box=Box(0.1, 0.8, 0.3, 0.9))
    left = replace(crowd.signs[0], text="12", box=Box(0.1, 0.2, 0.3, 0.3))
    right = replace(crowd.signs[0], text="UP", box=Box(0.7, 0.1, 0.9, 0.2))
    scene = replace(crowd, signs=(low, right, left))
    assert reading(scene) == 'At the top left "12", at the top right "UP" and at the bottom left "LOW".'


def test_every_turn_is_true_of_its_scene():
    asked = Counter()
    for number in range(100):
        crowd = draw_crowd(Random(number))
        first, *others = reading_turns(crowd, Random(number), 4)
        assert first.response == reading(crowd)
        assert len(others) <= 3
        for turn in others:
            (sign,) = [sign for sign in crowd.signs if re.search(rf"{place(sign.box)}( say\?|\?|\.)", turn.instruction)]
            assert turn.response in (sign.text, f'The sign {place(sign.box)} says "{sign.text}".')
            asked[len(others)] += 1
    assert len(asked) == 3

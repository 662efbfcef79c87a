"""Labels of patches by the things they show, also where a tile's edge cuts a thing."""

import numpy as np

from model.data.things.labels import NOTHING, label_things
from model.data.things.scene import Placed
from model.data.world.labels import UNKNOWN
from model.data.world.scene import Box

WHOLE, LEFT_HALF = Box(0, 0, 1, 1), Box(0, 0, 0.5, 1)
CLASSES = {"cat": 1, "dog": 2}


def test_patches_whose_middle_lies_in_a_thing_have_its_class():
    labels = label_things([Placed("dog", Box(0.25, 0.5, 0.75, 1.0))], CLASSES, WHOLE, 4)
    assert labels.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0], [0, 2, 2, 0]]


def test_a_tile_that_sees_less_than_half_of_a_thing_cannot_know_it():
    mostly = label_things([Placed("cat", Box(0.1, 0.1, 0.6, 0.9))], CLASSES, LEFT_HALF, 4)
    hardly = label_things([Placed("cat", Box(0.4, 0.1, 0.9, 0.9))], CLASSES, LEFT_HALF, 4)
    assert set(np.unique(mostly)) == {NOTHING, 1}
    assert set(np.unique(hardly)) == {NOTHING, UNKNOWN}


def test_a_thing_of_one_patch_cannot_be_known_in_the_whole_but_in_a_local_tile():
    thing = Placed("cat", Box(0.1, 0.1, 0.2, 0.2))
    assert set(np.unique(label_things([thing], CLASSES, WHOLE, 8))) <= {NOTHING, UNKNOWN}
    assert (label_things([thing], CLASSES, Box(0, 0, 0.25, 0.25), 8) == 1).any()

"""Dense labels: each patch is told what stands at its middle, and nothing that its tile cannot know."""

from random import Random

import numpy as np
import pytest

from model.data.world.labels import LETTER_CLASSES, UNKNOWN, label, windows
from model.data.world.paint import paint
from model.data.world.scene import COLOURS, SHAPES, draw_crowd, draw_scene
from model.data.world.sign_texts import DIGITS, LETTERS
from model.pixels.tiles import cut

GRID, TILE_PX = 12, 96


def test_windows_follow_the_order_of_the_tiles():
    image = paint(draw_scene(Random("windows"))).image.resize((192, 192))
    tiles = cut(image, TILE_PX, 2)
    whole = np.asarray(image)
    for tile, window in zip(tiles[1:], windows(2)[1:], strict=True):
        x, y = int(window.left * 192), int(window.top * 192)
        assert np.array_equal(tile, whole[y : y + TILE_PX, x : x + TILE_PX])


def test_a_patch_in_a_shape_has_its_kind_and_colour_and_the_way_to_its_middle():
    seen = 0
    for index in range(30):
        scene = draw_scene(Random(f"label {index}"))
        labels = label(scene, paint(scene), windows(2)[0], GRID, TILE_PX)
        for shape in scene.shapes:
            x, y = shape.box.centre
            column, row = int(x * GRID), int(y * GRID)
            if labels.things[row, column] == 0:
                continue  # smaller than a patch, and beside its middle
            assert labels.things[row, column] == 1 + SHAPES.index(shape.kind)
            assert labels.colours[row, column] == list(COLOURS).index(shape.colour)
            offset = (x - (column + 0.5) / GRID, y - (row + 0.5) / GRID)
            assert tuple(labels.extents[:2, row, column]) == pytest.approx(offset, abs=1e-6)
            seen += 1
    assert seen > 20


def test_letters_are_labelled_in_their_order():
    for index in range(20):
        scene = draw_crowd(Random(f"letters {index}"), easy=1.0)
        labels = label(scene, paint(scene), windows(2)[0], GRID * 4, TILE_PX * 4)  # fine enough to meet every letter
        for sign in scene.signs:
            found = {}
            for point in (0, 1):
                letters, order = labels.letters[point], labels.order[point]
                rows = slice(int(sign.box.top * GRID * 4), int(np.ceil(sign.box.bottom * GRID * 4)))
                columns = slice(int(sign.box.left * GRID * 4), int(np.ceil(sign.box.right * GRID * 4)))
                for letter, place in zip(letters[rows, columns].flat, order[rows, columns].flat, strict=True):
                    if letter > 0:
                        found[place] = (LETTERS + DIGITS)[letter - 1]
            assert "".join(found[place] for place in sorted(found)) == sign.text


def test_a_letter_cut_by_the_edge_of_a_tile_is_unknown():
    unknown = 0
    for index in range(40):
        scene = draw_crowd(Random(f"cut {index}"))
        picture = paint(scene)
        for window in windows(2)[1:]:
            labels = label(scene, picture, window, GRID, TILE_PX)
            assert labels.letters.max() < LETTER_CLASSES
            unknown += int((labels.letters == UNKNOWN).sum())
    assert unknown > 0

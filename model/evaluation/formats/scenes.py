"""Fresh scenes of the synthetic world: drawn from a seed that training never uses, painted into a folder.

What is asked of each: a caption, judged by the coloured shapes it names; how many shapes there are; about one shape of
several, its colour or kind, its place, and where it is from another; and what the sign says, where there is one. Signs
are told apart by the size of their letters, and by whether the edge of a tile cuts one. Of every fifth scene a long
caption is asked for, too, which may name the background, but no wrong one. Fewer scenes have signs of other kinds than
pheye-tiny was taught at first: longer ones, numbers with zeros, and some in lower case.
Any thread or process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from PIL import Image

from model.data.world.captions import named
from model.data.world.paint import Letter, Picture, letter_size, paint
from model.data.world.questions import about_one_of_several
from model.data.world.scene import CLUTTER, Scene, draw_scene
from model.data.world.sign_texts import long_sign_text, lower_case, number
from model.evaluation.case import Case
from model.evaluation.metrics.exact import NO_BACKGROUND
from model.prompt import caption_instruction, question_instruction
from model.whole_files import path_appearing_whole

_OTHER_SIGNS = {"longer": long_sign_text, "numbers with zeros": number, "lower case": lower_case}
_MORE_EVERY = 5  # scenes; one long caption for so many, and one scene more with each of the other signs
_READ = question_instruction("What does the sign say?", "short")
TRAINING_SEEDS = (
    "stage 0", "stage 0 text", "train", "train signs", "train ablation",
    "train truthful", "train photographed", "train outside",  # of the runs up to November 2026
    "train truthful 2", "train photographed 2", "train outside 2",
    "train truthful 3", "train photographed 3", "train outside 3",
    "train truthful 4", "train photographed 4", "train outside 4",
    "train truthful 5", "train photographed 5", "train outside 5",
    "train truthful 6", "train photographed 6", "train outside 6",
    "train truthful 7", "train photographed 7", "train outside 7",
    "train truthful 8", "train photographed 8", "train outside 8",
    "train truthful 9", "train photographed 9", "train outside 9",
    "train truthful 10", "train photographed 10", "train outside 10", "train things 10",
    "train truthful 11", "train photographed 11", "train outside 11", "train things 11", "train eye 11",
)  # fmt: skip


def read_scenes(folder: Path, count: int, seed: str, level: int = 3) -> list[Case]:
    """Paint scenes, unless they are there from an earlier run with the same seed, and return their cases.

    Args:
        folder: where the images are kept, below a folder named like the seed.
        count: how many scenes.
        seed: which ones; any but the training's.
        level: local tiles along each side of an image, whose edges cut signs.

    Raises:
        ValueError: the seed is the training's.
        FontsMissing: the fonts of the signs are not installed.
    """
    if seed in TRAINING_SEEDS:
        raise ValueError(f"seed: {seed!r} is a stream that pheye-tiny was trained on; choose another")
    cases = [case for index in range(count) for case in _cases(folder / seed, seed, index, level)]
    return cases + [case for index in range(0, count, _MORE_EVERY) for case in _other_signs(folder / seed, seed, index)]


def _cases(folder: Path, seed: str, index: int, level: int) -> Iterator[Case]:
    scene = draw_scene(Random(f"{seed} {index}"))  # noqa: S311 - reproducible, not secret
    path, picture = _painted(scene, folder / f"{index}.png")
    if scene.background == CLUTTER:
        return
    shapes = tuple(named(shape) for shape in scene.shapes)
    area = min((shape.box.area for shape in scene.shapes), default=None)
    yield Case(f"{index} caption", path, caption_instruction("normal"), shapes, "colour_shape", area=area)
    if index % _MORE_EVERY == 0 and (scene.shapes or scene.sign):
        backgrounds = ("noisy",) if scene.background == "noisy" else (NO_BACKGROUND, scene.background)
        long = caption_instruction("long")
        yield Case(f"{index} background", path, long, backgrounds, "background", group=scene.background)
    counted = question_instruction("How many shapes are there?", "short")
    yield Case(f"{index} count", path, counted, (str(len(shapes)),), "count", group=str(len(shapes)))
    for asked in about_one_of_several(scene, Random(f"{seed} {index} several")):  # noqa: S311 - as above
        instruction = question_instruction(asked.question, "short")
        yield Case(f"{index} {asked.kind}", path, instruction, (asked.word,), "several", group=asked.kind)
    if scene.sign is not None:
        letters, share = picture.letters[0], scene.sign.box.area
        group = f"{letter_size(letters)} / {'cut' if is_cut(letters, level) else 'whole'}"
        yield Case(f"{index} sign", path, _READ, (scene.sign.text,), "sign", group=group, area=share)


def _other_signs(folder: Path, seed: str, index: int) -> Iterator[Case]:
    for kind, texts in _OTHER_SIGNS.items():
        scene = draw_scene(Random(f"{seed} {index} {kind}"), texts=texts)  # noqa: S311 - as above
        if scene.sign is not None:
            path, _ = _painted(scene, folder / f"{index} {kind}.png")
            yield Case(f"{index} {kind}", path, _READ, (scene.sign.text,), "other_sign", group=kind)


def _painted(scene: Scene, path: Path) -> tuple[Path, Picture]:
    """Paint a scene, into a file too unless it is there."""
    picture = paint(scene)
    keep_picture(picture.image, path)
    return path, picture


def keep_picture(image: Image.Image, path: Path) -> None:
    """Write a picture, as a whole or not at all, unless it is there from an earlier run, or from one beside this."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = path.with_stem(f"{path.stem}-{os.getpid()}")
        with path_appearing_whole(mine) as partial:
            image.save(partial)
        mine.replace(path)


def is_cut(letters: Sequence[Letter], level: int) -> bool:
    """Return whether an edge of level x level local tiles runs through any of these letters."""
    edges = [tile / level for tile in range(1, level)]
    boxes = [letter.box for letter in letters]
    return any(box.left < edge < box.right or box.top < edge < box.bottom for box in boxes for edge in edges)

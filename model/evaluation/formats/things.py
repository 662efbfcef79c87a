"""Scenes of everyday things in a style that pheye-tiny was never trained on, painted into a folder.

Each name comes equally often. A thing stands alone or with up to three others, before a drawn scene or, one time in
three, a photograph that scikit-image or scikit-learn ships. What is asked: a caption, judged by the things it names;
what stands in the thing's place; how many there are of it, or of another. Any thread or process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from model.data.things.pictures import ThingPictures
from model.data.things.questions import WHAT, alone_in_their_places
from model.data.things.scene import Placed, ThingScene, draw_things
from model.data.things.wording import plural
from model.data.world.captions import place
from model.evaluation.case import Case
from model.evaluation.formats.scenes import TRAINING_SEEDS, keep_picture
from model.pixels.rgb import to_rgb
from model.prompt import caption_instruction, question_instruction

_BEFORE_PHOTOGRAPHS = 3  # one scene in so many
_SIDES_PX = (176, 320)
_MOST_OTHERS = 3


def read_things(
    pictures: Path, photographs: Sequence[Path], folder: Path, count: int, seed: str, style: str
) -> list[Case]:
    """Paint scenes, unless they are there from an earlier run with the same seed, and return their cases.

    Args:
        pictures: things, as `pheye dev things` keeps them.
        photographs: files of what some scenes stand before.
        folder: where the scenes are kept, below a folder named like the style and the seed.
        count: scenes of each name.
        seed: which ones; any but the training's.
        style: the icon set of the things.

    Raises:
        ValueError: the seed is the training's.
        ThingsMissing: there are no pictures of things, or none of this style.
        FontsMissing: the fonts of the signs are not installed.
    """
    if seed in TRAINING_SEEDS:
        raise ValueError(f"seed: {seed!r} is a stream that pheye-tiny was trained on; choose another")
    things = ThingPictures(pictures, (style,))
    painted = folder / f"{style}-{seed}"
    return [
        case
        for number in range(count)
        for place_in_list, name in enumerate(things.names)
        for case in _cases(things, photographs, painted, name, f"{seed} {number} {name}", number + place_in_list)
    ]


def _cases(
    things: ThingPictures, photographs: Sequence[Path], folder: Path, name: str, seed: str, turn: int
) -> Iterator[Case]:
    rng = Random(seed)  # noqa: S311 - reproducible, not secret
    before = turn % _BEFORE_PHOTOGRAPHS == 0
    photograph = _fitted(rng.choice(photographs), rng) if before else None
    names = [name, *rng.sample(things.names, rng.randint(0, _MOST_OTHERS))]
    scene, image = draw_things(rng, things, names, photograph)
    path = folder / f"{seed}.png"
    keep_picture(image, path)
    behind = "before a photograph" if before else "before a drawn scene"
    group = f"{behind} / {'alone' if len(scene.things) == 1 else 'with others'}"
    there = tuple(thing.name for thing in scene.things)
    yield Case(f"{seed} caption", path, caption_instruction("normal"), there, "things", group=group)
    thing = _alone_of_name(scene, name)
    if thing is not None:
        asked = question_instruction(WHAT[0].format(place(thing.box)), "short")
        yield Case(f"{seed} what", path, asked, (name,), "thing", group=group, area=thing.box.area)
    asked_for = name if turn % 2 else rng.choice(things.names)  # which is mostly not there
    counted = question_instruction(f"How many {plural(asked_for)} are there?", "short")
    count = str(there.count(asked_for))
    yield Case(f"{seed} count", path, counted, (count,), "count", group=count)


def _alone_of_name(scene: ThingScene, name: str) -> Placed | None:
    """Return the thing, if nothing else stands in its place."""
    return next((thing for thing in alone_in_their_places(scene) if thing.name == name), None)


def _fitted(photograph: Path, rng: Random) -> Image.Image:
    with Image.open(photograph) as file:
        return ImageOps.fit(to_rgb(file), (rng.randint(*_SIDES_PX), rng.randint(*_SIDES_PX)))

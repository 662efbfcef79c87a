"""Pictures outside a model's world, and scenes inside it: does it say that it does not know, and only then?

Outside are photographs (those that scikit-image and scikit-learn ship, or a folder's) and pictures of no meaning;
inside are scenes of pheye-tiny's own world, and signs on those photographs. Of each picture three captions and two
questions about its sign are asked; of a sign on a photograph what it says. Right is one fixed sentence for pictures
outside, and anything else for scenes inside. Any thread or process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from model.data.fields import DataError
from model.data.world.captions import NOTHING
from model.data.world.paint import letter_size, paint
from model.data.world.photographed import draw_signs, paint_signs
from model.data.world.scene import CLUTTER, draw_scene
from model.evaluation.case import Case, Kind
from model.evaluation.formats.abstract_pictures import abstract_kind, abstract_picture
from model.evaluation.formats.scenes import TRAINING_SEEDS, keep_picture
from model.pixels.rgb import to_rgb
from model.prompt import CAPTIONS, caption_instruction, question_instruction

DEFAULT_SENTENCE = NOTHING
CAPTIONED, ASKED = "captions", "sign questions"
# What has print in it that a model may rightly read (page, text, logo) and what is no photograph is not among them.
_SCIKIT_IMAGE = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "retina.jpg", "rocket.jpg",
)  # fmt: skip
_PACKAGES = (
    ("scikit-image", "skimage", "data", _SCIKIT_IMAGE),
    ("scikit-learn", "sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)
_SIGNS = 4  # pictures of one photograph with a sign on it
_SIDES_PX = (176, 320)
_QUESTIONS = (
    question_instruction("What does the sign say?", "short"),
    question_instruction("What is written on the sign?", "sentence"),
)


def installed_photographs() -> list[Path]:
    """List the photographs that scikit-image and scikit-learn ship inside their packages; nothing is fetched.

    Raises:
        DataError: a package is not installed, or has none of them.
    """
    found: list[Path] = []
    for name, package, folder, files in _PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise DataError(
                f"the photographs of {name} are asked about, and it is not installed: "
                "pip install 'pheye-service[evaluate]', or name a folder of your own with --photographs"
            )
        inside = [path for file in files if (path := Path(spec.origin).parent / folder / file).exists()]
        if not inside:
            raise DataError(f"{name}: this version ships no photograph; name a folder with --photographs")
        found += inside
    return found


def read_outside(
    photographs: Sequence[Path], folder: Path, pictures: int, scenes: int, seed: str, sentence: str
) -> list[Case]:
    """Return the cases of all: photographs with and without a sign, pictures of no meaning, own scenes.

    Args:
        photographs: their files.
        folder: where pictures and scenes are painted, below a folder named like the seed; kept from run to run.
        pictures: how many pictures of no meaning.
        scenes: how many scenes of its own world.
        seed: which pictures and scenes; any but the training's.
        sentence: the one with which the model says that it does not know.

    Raises:
        ValueError: the seed is the training's.
        FontsMissing: the fonts of the signs are not installed.
    """
    if seed in TRAINING_SEEDS:
        raise ValueError(f"seed: {seed!r} is a stream that pheye-tiny was trained on; choose another")
    painted = folder / seed
    painted.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    for index, photograph in enumerate(photographs):
        cases += _about(f"photograph {index} {photograph.name}", photograph, "photographs", sentence)
        cases += _signed(painted, seed, index, photograph)
    for index in range(pictures):
        path = painted / f"{index}-{abstract_kind(index)}.png"
        if not path.exists():
            keep_picture(abstract_picture(seed, index), path)
        cases += _about(f"picture {index}", path, "pictures of no meaning", sentence)
    return cases + [case for index in range(scenes) for case in _own(painted, seed, index, sentence)]


def _about(name: str, path: Path, what: str, sentence: str) -> Iterator[Case]:
    for length in CAPTIONS:
        yield _case(f"{name} {length}", path, caption_instruction(length), "outside", f"{what}, {CAPTIONED}", sentence)
    for index, question in enumerate(_QUESTIONS):
        yield _case(f"{name} sign {index}", path, question, "outside", f"{what}, {ASKED}", sentence)


def _signed(folder: Path, seed: str, index: int, photograph: Path) -> Iterator[Case]:
    """Paint signs on a photograph, and ask what each says; none if Pillow cannot read it."""
    try:
        with Image.open(photograph) as file:
            whole = to_rgb(file)
    except (OSError, ValueError, Image.DecompressionBombError):
        return  # the model is asked about it nevertheless, and what reads files there says what is wrong
    photograph_id = sha256(photograph.read_bytes()).hexdigest()[:12]  # others may have this number in another run
    for name in (f"{index}-{number}" for number in range(_SIGNS)):
        rng = Random(f"{seed} signed {name}")  # noqa: S311 - reproducible, not secret
        behind = ImageOps.fit(whole, (rng.randint(*_SIDES_PX), rng.randint(*_SIDES_PX)))
        scene = draw_signs(rng, behind, 1)
        picture, path = paint_signs(scene, behind), folder / f"{name}-{photograph_id}-signed.png"
        keep_picture(picture.image, path)
        group = f"on photographs / {letter_size(picture.letters[0])}"
        yield Case(
            f"sign on photograph {name} {photograph_id}",
            path,
            _QUESTIONS[0],
            (scene.signs[0].text,),
            "sign",
            group=group,
        )


def _own(folder: Path, seed: str, index: int, sentence: str) -> Iterator[Case]:
    """Yield the cases of a scene; none if there is nothing in it, as the sentence is right then."""
    scene = draw_scene(Random(f"{seed} {index}"))  # noqa: S311 - reproducible, not secret
    if scene.background == CLUTTER or not (scene.shapes or scene.signs):
        return
    path = folder / f"{index}-scene.png"
    keep_picture(paint(scene).image, path)
    for length in CAPTIONS:
        yield _case(f"scene {index} {length}", path, caption_instruction(length), "refused", CAPTIONED, sentence)
    for place, question in enumerate(_QUESTIONS):
        yield _case(f"scene {index} sign {place}", path, question, "refused", ASKED, sentence)


def _case(name: str, path: Path, instruction: str, kind: Kind, group: str, sentence: str) -> Case:
    return Case(name, path, instruction, (sentence,), kind, group=group)

"""Every picture that people are offered to try is answered truthfully by pheye-tiny: captions, and two questions each.

Offered is what the model's about.json names; the playground has other pictures, for models that name none. Truthful is
what the picture shows; outside the model's world also the sentence that says so.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from PIL import Image

from model.about import parse_about
from model.checkpoint.checkpoint import open_checkpoint
from model.data.world.captions import NOTHING
from model.data.world.scene import COLOURS, SHAPES
from model.evaluation.metrics.exact import colour_shape_match
from model.pixels.tiles import prepare
from model.prompt import CAPTIONS, caption_instruction, question_instruction
from model.runtime.runner import ModelRunner
from service.api.openapi.examples import DISC
from service.worker.engine import Engine
from tests.service.worker.test_engine import row, run, submit
from tests.support.golden import fp32_runner
from tests.support.pages import ROOT

PLAYGROUND = ROOT / "service/api/pages/playground/samples"
QUOTED = re.compile(r'"([^"]*)"')
NAMED = re.compile(rf"\b(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})\b")
SIGN, COUNT = "What does the sign say?", "How many shapes are there?"


@dataclass(frozen=True)
class Shown:
    """What a picture shows: the coloured shapes, all of them, and texts of which any may be read.

    `answers` are those to questions; a picture with none is outside the model's world.
    """

    shapes: tuple[str, ...]
    texts: tuple[str, ...]
    answers: Mapping[str, str]

    def told_by(self, caption: str) -> bool:
        if not self.answers and caption == NOTHING:
            return True
        texts, shapes = QUOTED.findall(caption), NAMED.findall(caption)
        if not self.answers:  # nothing that is not there
            return bool(texts or shapes) and set(texts) <= set(self.texts) and set(shapes) <= set(self.shapes)
        guessed = "background" in caption  # none of the samples has one that the model can see
        return not guessed and colour_shape_match(caption, self.shapes) == 1 and tuple(texts) == self.texts

    def answered_by(self, question: str, answer: str) -> bool:
        return answer == self.answers.get(question, NOTHING) or (question == SIGN and answer in self.texts)


SHOWN = {
    "scene.png": Shown(
        ("gray star", "yellow circle", "brown triangle"),
        ("4695",),
        {SIGN: "4695", COUNT: "3", "Is there a red circle?": "no"},
    ),
    "lake.png": Shown(
        ("brown triangle", "teal cross"),
        ("LAKE",),
        {SIGN: "LAKE", COUNT: "2", "Is there a teal cross?": "yes", "Is there a red circle?": "no"},
    ),
    "pool.png": Shown(
        ("gray rectangle", "orange cross"),
        ("POOL",),
        {SIGN: "POOL", COUNT: "2", "Is there a red circle?": "no"},
    ),
    "disc": Shown(("red circle",), (), {COUNT: "1", "What shape is it?": "circle", "What color is the circle?": "red"}),
    "cafe.jpg": Shown(("yellow circle",), ("CAFE LUMEN", "CAFE", "LUMEN", "OPEN"), {}),
    "departures.jpg": Shown((), ("Departures", "Basel", "Innsbruck", "Ljubljana", "Praha", "14:32"), {}),
}
ABOUT = parse_about(json.loads((ROOT / "model/weights/pheye-tiny/about.json").read_text(encoding="utf-8")))
OFFERED = {sample.file: sample.questions for sample in ABOUT.samples} | {"disc": ()}  # by the playground and /docs
NOT_OFFERED = pytest.mark.xfail(strict=False, reason="about.json does not name it, so nobody is promised an answer")


@pytest.fixture(scope="module")
def runner() -> ModelRunner:
    return fp32_runner(open_checkpoint("pheye-tiny"))


def picture(name: str) -> Image.Image:
    file = io.BytesIO(base64.b64decode(DISC.partition(",")[2])) if name == "disc" else PLAYGROUND / name
    with Image.open(file) as image:
        return image.convert("RGB")


def answers(runner: ModelRunner, name: str, asked: list[str]) -> list[str]:
    config, engine = runner.config, Engine(runner, stall_s=1.0)
    rows = [row(place, instruction, max_tokens=100) for place, instruction in enumerate(asked)]
    submit(engine, prepare(picture(name), config.vision.tile_px, config.level), *rows)
    collected = run(engine)
    return [collected.text[each.id].strip() for each in rows]


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in OFFERED else NOT_OFFERED) for name in SHOWN])
def test_a_sample_is_answered_truthfully(name: str, runner: ModelRunner) -> None:
    shown = SHOWN[name]
    questions = list(dict.fromkeys([*shown.answers, *OFFERED.get(name, ())])) or [SIGN, COUNT]
    asked = [question_instruction(question, "short") for question in questions]
    said = answers(runner, name, [*map(caption_instruction, CAPTIONS), *asked])
    captions, told = said[: len(CAPTIONS)], said[len(CAPTIONS) :]
    untrue = [caption for caption in captions if not shown.told_by(caption)]
    untrue += [f"{q}: {a}" for q, a in zip(questions, told, strict=True) if not shown.answered_by(q, a)]
    assert not untrue


def test_every_sample_of_the_playground_and_the_documentation_is_among_these() -> None:
    assert {path.name for path in PLAYGROUND.iterdir()} == SHOWN.keys() - {"disc"}, "say here what a new one shows"
    for sample in ABOUT.samples:
        own = ROOT / "model/weights/pheye-tiny" / sample.file
        assert (PLAYGROUND / sample.file).read_bytes() == own.read_bytes(), "the playground has what about.json names"
    assert (PLAYGROUND / "scene.png").read_bytes() == (ROOT / "docs/images/scene.png").read_bytes()

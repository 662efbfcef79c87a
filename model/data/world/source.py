"""Endless source of samples from the synthetic world: sample `index` is the same whenever it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from model.data.samples import ENDLESS, Sample, Turn
from model.data.world.captions import NOTHING, caption_turn
from model.data.world.paint import paint
from model.data.world.questions import count_turn, no_sign_turn, question_turn
from model.data.world.reading import reading_turns
from model.data.world.scene import CLUTTER, Scene, draw_crowd, draw_scene
from model.data.world.sign_texts import SignTexts, sign_text

_CROWDED = 40  # signs that look for a place; the late ones find it if they are small, which are hard to read


@dataclass(frozen=True, slots=True)
class WorldSource:
    """Source of scenes with turns about them.

    Attributes:
        seed: names the stream; training and evaluation use different ones and so never share a scene.
        turns: turns made for one scene; the first half are captions, the rest questions.
        easy_until: samples over which the smallest letters shrink from large to their true size.
        crowds_from: from this sample on one scene in `crowd_every` is full of signs; with 0 none is.
        crowd_every: two or more.
        crowds: signs that look for a place in a crowd, by turns; few leave room for large ones.
        counted: of every ordinary scene, ask how many shapes there are; else as often as chance has it.
        unsigned: of every ordinary scene without a sign, ask what it says; a model that often hears so of pictures
            outside the world would take such scenes for one.
        texts: draws what signs say.
    """

    seed: str
    turns: int = 4
    easy_until: int = 0
    crowds_from: int = 0
    crowd_every: int = 2
    crowds: tuple[int, ...] = (_CROWDED,)
    counted: bool = False
    unsigned: bool = False
    texts: SignTexts = sign_text

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        rng = Random(f"{self.seed} {index}")  # noqa: S311 - reproducible, not secret
        easy = max(0.0, 1 - index / self.easy_until) if self.easy_until else 0.0
        if self.crowds_from and index >= self.crowds_from and index % self.crowd_every == 1:
            crowd = draw_crowd(rng, tries=self.crowds[index // self.crowd_every % len(self.crowds)], texts=self.texts)
            return Sample(paint(crowd).image, reading_turns(crowd, rng, self.turns))
        scene = draw_scene(rng, easy, self.texts)
        if scene.background == CLUTTER:
            return Sample(paint(scene).image, turns_about(scene, rng, self.turns))
        more = (count_turn(scene, rng),) * self.counted
        if self.unsigned and scene.sign is None:
            more = (no_sign_turn(rng), *more)
        return Sample(paint(scene).image, (*turns_about(scene, rng, self.turns - len(more)), *more))


def turns_about(scene: Scene, rng: Random, count: int) -> tuple[Turn, ...]:
    """Draw different turns about a scene: a caption says most, so there is always one; questions after it."""
    made: dict[str, Turn] = {}
    while len(made) < count:
        turn = caption_turn(scene, rng) if len(made) < (count + 1) // 2 else question_turn(scene, rng)
        made.setdefault(turn.instruction, Turn(turn.instruction, NOTHING) if scene.background == CLUTTER else turn)
    return tuple(made.values())

"""Evaluation of a variant on scenes it was not trained on; each answer is right or wrong as a whole.

An answer counts when every token of it, its end included, is the likeliest after the right ones before it. That is so
exactly when greedy decoding says this answer and no other, and takes one pass instead of one for each token. Main
thread of a training process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from model.ablation.learner import VariantLearner
from model.config import PheyeConfig
from model.data.samples import ENDLESS, Sample, Turn
from model.data.world.captions import caption
from model.data.world.paint import letter_size, paint
from model.data.world.scene import draw_scene
from model.prompt import caption_instruction, question_instruction
from model.tokenizer import TextTokenizer
from model.training.batches import Loader, TrainingBatch
from model.training.recipe import Recipe
from model.training.rows import NOTHING

_SEED = "ablation"  # of the scenes; training's are others


@dataclass(frozen=True, slots=True)
class VariantScore:
    """Number of right answers of one kind, over all signs or those of one size.

    Attributes:
        kind: `caption`, `count`, `sign`; or `sign small`, `sign medium`, `sign large` by the height of the letters.
        cases: how many were asked.
        right: how many were right to the last token.
    """

    kind: str
    cases: int
    right: int

    @property
    def share(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.right / max(1, self.cases)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out scenes with a caption, a count and perhaps a sign's text; sample `index` is always the same."""

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        """Return scene number `index` with the turns that `kinds` names."""
        scene = draw_scene(Random(f"{_SEED} {index}"))  # noqa: S311 - reproducible, not secret
        turns = [
            Turn(caption_instruction("normal"), caption(scene, "normal")),
            Turn(question_instruction("How many shapes are there?", "short"), str(len(scene.shapes))),
        ]
        if scene.sign is not None:
            turns.append(Turn(question_instruction("What does the sign say?", "short"), scene.sign.text))
        return Sample(paint(scene).image, tuple(turns))

    def kinds(self, index: int) -> list[str]:
        """Kinds of answer that the turns of a sample ask for."""
        scene = draw_scene(Random(f"{_SEED} {index}"))  # noqa: S311 - reproducible, not secret
        signs = [] if scene.sign is None else [f"sign {letter_size(paint(scene).letters[0])}"]
        return ["caption", "count", *signs]


def judge(
    learner: VariantLearner, config: PheyeConfig, tokenizer: TextTokenizer, recipe: Recipe, count: int
) -> tuple[float, list[VariantScore]]:
    """Evaluate a variant on `count` scenes, rounded down to whole batches.

    Returns:
        The mean loss of an output token in nats, and the scores.
    """
    source, asked = HeldOut(), replace(recipe, turns_per_image=3, batch=min(recipe.batch, count))
    found: list[tuple[str, bool]] = []
    lost, tokens, steps = 0.0, 0, count // asked.batch
    for step, batches in enumerate(Loader(source, config, tokenizer, asked).steps(0, steps)):
        first = step * asked.batch
        for batch in batches:
            kinds = [source.kinds(first + row) for row in range(len(batch.ids))]
            loss, right = _answers(learner, batch)
            found += [
                (kind, bool(right[row, turn]))
                for row, names in enumerate(kinds)
                for turn, kind in enumerate(names, start=1)
            ]
            first, lost, tokens = first + len(batch.ids), lost + loss, tokens + batch.output_tokens
    return lost / max(1, tokens), _scores(found)


@torch.inference_mode()
def _answers(learner: VariantLearner, batch: TrainingBatch) -> tuple[float, Tensor]:
    """Return the summed loss, and whether each turn of each row is right as a whole [B, turns + 1]."""
    logits, said = learner.logits(batch), batch.labels != NOTHING
    labels = batch.labels[said]
    right = torch.ones(len(batch.ids), int(batch.turns.max()) + 1, dtype=torch.bool)
    rows = torch.arange(len(batch.ids))[:, None].expand_as(batch.ids)[said]
    wrong = logits.argmax(-1) != labels
    right[rows[wrong], batch.turns[said][wrong]] = False
    return float(F.cross_entropy(logits, labels, reduction="sum")), right


def _scores(found: Sequence[tuple[str, bool]]) -> list[VariantScore]:
    answers: dict[str, list[bool]] = {}
    for kind, right in found:
        answers.setdefault(kind, []).append(right)
        if kind.startswith("sign "):
            answers.setdefault("sign", []).append(right)
    return [VariantScore(kind, len(rights), sum(rights)) for kind, rights in sorted(answers.items())]

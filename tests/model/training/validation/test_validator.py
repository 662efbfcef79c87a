"""Validation says of held-out images what the reference implementation says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from model.data.manifest import read_manifest
from model.data.samples import Turn
from model.evaluation.scoring import BOTH, METRICS
from model.pixels.tiles import cut
from model.prompt import render
from model.training.batches import _Prepared as Prepared
from model.training.batches import collate
from model.training.rows import row_of
from model.training.validation import validator as module
from model.training.validation.validator import Validator, metric_of
from tests.model.training.test_learner import learner
from tests.support.small_model import SMALL, small_tokenizer, write_pictures

TURNS = {
    "short": (Turn("What?", "a house"),),
    "long": (Turn("What?", "there is a house of two floors"),),
    "both": (Turn("What?", "a house"), Turn("Describe", "there is a house of two floors")),
}


def test_loss_tokens_and_answers_are_those_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []

    def seen(answer: str, references: Sequence[str]) -> float:
        answers.append(answer)
        return float(len(answers) % 2)

    monkeypatch.setattr(module, "exact_match", seen)
    source, tokenizer, one = read_manifest(write_pictures(tmp_path, count=3)), small_tokenizer(), learner()
    parts = list(Validator(one, SMALL, tokenizer, source, images_at_once=2).sums(range(3)))
    prepared, expected = [], []
    for sample in (source[number] for number in range(3)):
        tiles = cut(sample.image, SMALL.vision.tile_px, SMALL.level)
        prepared.append(Prepared(tiles, row_of(sample.turns, tokenizer, 128)))
        with torch.no_grad():
            features = one.pheye.vision_encoder(one.pheye.vision_encoder.pixels(torch.from_numpy(tiles)[None]))
        longest = len(tokenizer.encode(" " + sample.turns[0].response)) + 1 + 4
        said = one.pheye.generate(tokenizer.encode(render("What?")), features, longest, tokenizer.eos_id)
        expected.append(tokenizer.decode([token for token in said if token != tokenizer.eos_id]).strip())
    loss, right = one(collate(prepared))
    assert sum(part.loss for part in parts) == pytest.approx(float(loss.detach()), rel=1e-4)
    assert sum(part.right for part in parts) == int(right)
    assert sum(part.tokens for part in parts) == sum(
        each.row.labels.count(-100) * -1 + len(each.row.labels) for each in prepared
    )
    assert answers == expected
    assert [(part.answers, part.exact) for part in parts] == [(2, 1.0), (1, 1.0)]


def test_several_responses_to_one_instruction_are_references_of_one_answer(tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path, count=1)
    manifest.write_text(manifest.read_text() + manifest.read_text().replace("red tl", "a red one"))
    (part,) = Validator(learner(), SMALL, small_tokenizer(), read_manifest(manifest), 4).sums(range(1))
    assert part.answers == 1


@pytest.mark.parametrize(
    ("kind", "metric"), [("short", METRICS["exact"]), ("long", METRICS["words"]), ("both", BOTH)], ids=str
)
def test_the_score_is_the_one_that_the_answers_allow(kind: str, metric: str) -> None:
    assert metric_of([TURNS[kind]]) == metric


def test_an_image_with_many_turns_is_validated_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_pictures(tmp_path, count=1)
    line = manifest.read_text()
    manifest.write_text("".join(line.replace("What?", f"What {number}?") for number in range(10)))
    source, one = read_manifest(manifest), learner()
    rows = []
    real = Validator._hidden

    def hidden(validator: Validator, inputs: Sequence[list[int]], *more: object) -> torch.Tensor:
        rows.append(len(inputs))
        return real(validator, inputs, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Validator, "_hidden", hidden)
    (few,) = Validator(one, SMALL, small_tokenizer(), source, 1).sums(range(1))
    assert max(rows) == 4
    (whole,) = Validator(one, SMALL, small_tokenizer(), source, 3).sums(range(1))
    assert max(rows) == 10
    assert (few.answers, few.tokens, few.right) == (10, whole.tokens, whole.right)
    assert few.loss == pytest.approx(whole.loss, rel=1e-5)

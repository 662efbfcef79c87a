"""Variants of the architecture: the one that is Pheye is Pheye, the others lack and add what they say, and are judged
as greedy decoding would judge them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model.ablation.judge import HeldOut, judge
from model.ablation.learner import VariantLearner
from model.ablation.study import AblationResult, read_result, read_results
from model.ablation.variants import VARIANTS, VariantError, named_variants
from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.random_tensors import RandomTensors
from model.data.samples import Sample
from model.layout import tensor_shapes
from model.pixels.tiles import cut
from model.prompt import render
from model.reference.naive import NaivePheye
from model.training.batches import Loader, TrainingBatch
from model.training.learner import Learner
from model.training.recipe import RECIPES, Recipe, Stage
from service.cli.dev.ablate import cells
from service.cli.main import app
from tests.support.small_model import RANKS, SMALL, Pictures, small_tokenizer

ROOT = Path(__file__).parents[3]
RECIPE = Recipe("test", (Stage("I", 1e-3, steps=2),), batch=3, micro_batch=3, turns_per_image=2)


def learner(name: str) -> VariantLearner:
    config = replace(SMALL, level=max(2, VARIANTS[name].level))
    return VariantLearner(VARIANTS[name], config, RANKS, RandomTensors(tensor_shapes(config, RANKS)))


def batch(level: int = 2, turns: int = 2) -> TrainingBatch:
    recipe = replace(RECIPE, turns_per_image=turns)
    return next(Loader(Pictures(), replace(SMALL, level=level), small_tokenizer(), recipe).steps(0, 1))[0]


@pytest.mark.parametrize("level", [2, 3])
def test_the_variants_with_tiles_alone_are_pheye_itself(level: int) -> None:
    ours, config = learner(f"level-{level}"), replace(SMALL, level=level)
    pheye = Learner(config, RANKS, RandomTensors(tensor_shapes(config, RANKS)))
    assert torch.equal(ours.logits(batch(level)), pheye.logits(batch(level)))
    assert ours.trained().keys() == pheye.trained().keys()


def test_level_1_reads_the_global_view_alone() -> None:
    ours, given = learner("level-1"), batch()
    other = given._replace(tiles=torch.cat([given.tiles[:, :1], 255 - given.tiles[:, 1:]], dim=1))
    assert torch.equal(ours.logits(given), ours.logits(other))
    assert not torch.equal(learner("level-2").logits(given), learner("level-2").logits(other))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_that_is_trained_gets_a_gradient_and_what_is_lacking_is_not_trained(name: str) -> None:
    ours, variant = learner(name), VARIANTS[name]
    loss, _ = ours(batch(max(2, variant.level)))
    loss.backward()
    trained = ours.trained()
    without = [key for key, parameter in trained.items() if parameter.grad is None or not parameter.grad.any()]
    assert without == []
    assert not any(part in key for part in variant.absent for key in trained)
    assert any(key.startswith("bridge.") for key in trained) == (
        variant.connector != "cross-attention" or variant.resampler is not None
    )


@dataclass(frozen=True)
class Single:
    """One picture with one turn."""

    index: int
    turn: int

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        sample = Pictures()[self.index]
        return replace(sample, turns=(sample.turns[self.turn],))


@pytest.mark.parametrize("name", ["cls-prefix", "prefix"])
def test_a_row_of_turns_behind_a_prefix_says_what_rows_of_their_own_say(name: str) -> None:
    ours, all_turns = learner(name), replace(RECIPE, turns_per_image=3)
    loader = Loader(Pictures(), SMALL, small_tokenizer(), all_turns)
    single = replace(RECIPE, batch=1, micro_batch=1, turns_per_image=1)
    sources = [Single(draw.index, turn) for draw in loader.draws(0)[0] for turn in range(3)]
    alone = [next(Loader(source, SMALL, small_tokenizer(), single).steps(0, 1))[0] for source in sources]
    together = ours.logits(next(loader.steps(0, 1))[0])
    torch.testing.assert_close(together, torch.cat([ours.logits(each) for each in alone]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cls-prefix", "prefix", "perceiver", "monkey"])
def test_what_stands_between_image_and_text_depends_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    one = learner(name).bridge
    torch.manual_seed(2)
    other = learner(name).bridge
    assert one is not None
    assert other is not None
    for key, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key]), key


def test_an_answer_counts_exactly_when_greedy_decoding_gives_it() -> None:
    own = open_checkpoint("pheye-tiny")
    name, count = f"level-{own.config.level}", 6
    ours = VariantLearner(VARIANTS[name], own.config, own.ranks, own.tensors)
    recipe = replace(RECIPES["ablation"], batch=3, micro_batch=3)
    _, scores = judge(ours, own.config, own.tokenizer, recipe, count)
    naive = NaivePheye(own.config, own.ranks)
    naive.load_state_dict(dict(own.tensors))
    right: dict[str, list[bool]] = {}
    for index in range(count):
        sample, kinds = HeldOut()[index], HeldOut().kinds(index)
        tiles = torch.from_numpy(cut(sample.image, own.config.vision.tile_px, own.config.level)).unsqueeze(0)
        with torch.inference_mode():
            features = naive.vision_encoder(naive.vision_encoder.pixels(tiles))
            for turn, kind in zip(sample.turns, kinds, strict=True):
                prompt = own.tokenizer.encode(render(turn.instruction))
                said = naive.generate(prompt, features, 120, own.tokenizer.eos_id)
                text = own.tokenizer.decode([token for token in said if token != own.tokenizer.eos_id])
                right.setdefault(kind, []).append(text.lstrip() == turn.response)
    found = {score.kind: (score.cases, score.right) for score in scores if score.kind != "sign"}
    assert found == {kind: (len(each), sum(each)) for kind, each in right.items()}
    assert sum(sum(each) for each in right.values()) > 0


def test_variants_are_asked_for_by_name() -> None:
    assert [variant.name for variant in named_variants("level-3, prefix")] == ["level-3", "prefix"]
    assert named_variants("") == tuple(VARIANTS.values())
    with pytest.raises(VariantError, match="there is no 'level-4'; known are cls-prefix, prefix"):
        named_variants("level-4")


def ablate(*words: object) -> Any:
    return CliRunner().invoke(
        app, ["dev", "ablate", *(str(word) for word in words), "--threads", "1", "--workers", "0"]
    )


def test_the_command_trains_judges_and_shows_each_variant_once(tmp_path: Path) -> None:
    words = [tmp_path / "study", "--variants", "prefix,monkey", "--scenes", 4, "--steps", 1]
    first = ablate(*words)
    assert first.exit_code == 0, first.output
    results = json.loads((tmp_path / "study" / "ablation.json").read_text())
    assert [result["variant"] for result in results] == ["prefix", "monkey"]
    assert [result["image_tokens"] for result in results] == [145, 145]
    assert all(result["made"]["commit"] for result in results)
    with Image.open(tmp_path / "study" / "ablation.png") as plot:
        assert plot.width > 300
    again = ablate(*words)
    assert again.exit_code == 0, again.output
    assert "stage I" not in again.output
    assert json.loads((tmp_path / "study" / "ablation.json").read_text()) == results
    found = read_result(tmp_path / "study" / "prefix")
    assert isinstance(found, AblationResult)
    assert found.share("count") is not None
    assert found.share("nothing of the kind") is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--variants", "none"], "variants: there is no 'none'"),
        (["--model", "nowhere/at all"], "nowhere/at all: there is no such folder; a model is a folder"),
    ],
    ids=["variant", "model"],
)
def test_what_cannot_be_compared_is_said_in_a_line(words: list[str], complaint: str, tmp_path: Path) -> None:
    asked = ablate(tmp_path / "study", *words)
    assert asked.exit_code == 2
    assert complaint in asked.output


def test_the_page_about_evaluation_shows_what_was_measured() -> None:
    page = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    results = read_results(ROOT / "docs/results/ablation.json")
    assert {result.variant for result in results} <= VARIANTS.keys()
    for result in results:
        assert f"| {' | '.join(cells(result))} |" in page, result.variant


def test_a_result_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"variant": "prefix"}')
    with pytest.raises(ValueError, match=r"result\.json: not a result"):
        read_result(tmp_path)
    assert read_result(tmp_path / "elsewhere") is None

"""Language model of stage 0: a tokenizer and a small Phi that learns the texts of the world without its images.

Published Pheye starts from Phi 1.5; the small one starts here. It reads the turns of scenes it never sees, so it learns
wordings and not facts, and is frozen afterwards. One process; the loader's workers write the texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.utils.data import Dataset

from model.config import PheyeConfig
from model.data.world.scene import draw_scene
from model.data.world.source import turns_about
from model.layout import tensor_shapes
from model.prompt import render
from model.tokenizer import END_OF_TEXT, TextTokenizer
from model.training.learner import attention_mask
from model.training.passes.text import TextPass, text_layer
from model.training.passes.vision import under
from model.training.rows import NOTHING, PADDING, TokenRow, row_of
from model.training.stage0.loop import BatchPrefetcher, LearningSchedule, fresh, learn, saved_step

LANGUAGE = "lang_encoder."
_ROW_TOKENS = 448  # length of a row of several turns; a longer one is cut
_TURNS = 8


def train_tokenizer(vocab_size: int, scenes: int = 20_000) -> TextTokenizer:
    """Train a byte-level BPE tokenizer on the world's texts: common words are one token, a sign's letters one each."""
    tokenizer = Tokenizer(models.BPE())
    # A capital or digit before another stands alone: a sign is spelled, and no pair of its letters becomes a token.
    spelled = pre_tokenizers.Split(Regex("[A-Z0-9](?=[A-Z0-9])"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spelled, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END_OF_TEXT],
        show_progress=False,
    )
    rngs = (Random(f"tokenizer {index}") for index in range(scenes))  # noqa: S311 - reproducible, not secret
    turns = (turn for rng in rngs for turn in turns_about(draw_scene(rng), rng, 4))
    tokenizer.train_from_iterator((f"{render(turn.instruction)} {turn.response}" for turn in turns), trainer)
    return TextTokenizer(tokenizer, 0)  # special tokens come first


@dataclass(frozen=True, slots=True)
class Texts(Dataset[dict[str, Tensor]]):
    """Rows of turns about one unseen scene each; item `index` is always the same."""

    seed: str
    tokenizer: TextTokenizer

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return the fields of a `TokenRow` [T], every token of a turn labelled by the one that follows."""
        rng = Random(f"{self.seed} {index}")  # noqa: S311 - reproducible, not secret
        row = row_of(turns_about(draw_scene(rng), rng, _TURNS), self.tokenizer, _ROW_TOKENS)
        same = zip(row.turns, row.turns[1:], row.ids[1:], strict=False)
        labels = [following if turn == other else NOTHING for turn, other, following in same]
        return _cut(TokenRow(row.ids, row.positions, row.turns, (*labels, NOTHING)))


def _cut(row: TokenRow) -> dict[str, Tensor]:
    fields = (("ids", row.ids, 0), ("positions", row.positions, 0), ("turns", row.turns, PADDING))
    padded = {name: _to_length(values, filling) for name, values, filling in fields}
    return padded | {"labels": _to_length(row.labels, NOTHING)}


def _to_length(values: tuple[int, ...], filling: int) -> Tensor:
    return torch.tensor(list(islice(values, _ROW_TOKENS)) + [filling] * (_ROW_TOKENS - len(values)))


def train_voice(
    config: PheyeConfig,
    tokenizer: TextTokenizer,
    plan: LearningSchedule,
    folder: Path,
    *,
    rows: int = 8,
    workers: int = 1,
    compiled: bool = True,
) -> dict[str, Tensor]:
    """Train a new Phi on `rows` new rows a step, and return its weights by canonical name.

    A killed run goes on from `folder`.
    """
    shapes = {name: shape for name, shape in tensor_shapes(config, {}).items() if name.startswith(LANGUAGE)}
    generator = torch.Generator().manual_seed(0)
    own = {name: fresh(name, shape, generator) for name, shape in shapes.items() if ".cross_attn_layer." not in name}
    layer = torch.compile(text_layer, dynamic=False) if compiled else text_layer
    reader = TextPass(under(own, LANGUAGE), config, layer)
    batches = BatchPrefetcher(Texts("stage 0 text", tokenizer), rows, workers, first=saved_step(folder))
    unseen = torch.empty(0, dtype=torch.bfloat16)

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        batch = next(batches)
        mask = attention_mask(batch["turns"], unseen.dtype)
        hidden = reader(batch["ids"], batch["positions"], mask, unseen)
        said = batch["labels"] != NOTHING
        return F.cross_entropy(reader.logits(hidden[said]), batch["labels"][said]), {}

    learn(own, step, plan, folder)
    return {name: tensor.detach() for name, tensor in own.items()}

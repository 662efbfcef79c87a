"""A model and data so small that training them takes seconds; and a source that needs no files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from model.checkpoint.checkpoint import Checkpoint
from model.checkpoint.random_tensors import RandomTensors
from model.config import DecoderGeometry, PheyeConfig, VisionGeometry
from model.data.samples import Sample, Turn
from model.layout import tensor_shapes
from model.prompt import render
from model.tokenizer import END_OF_TEXT, TextTokenizer
from model.training.artifacts.export import Trained, export
from model.training.initial import initial_tensors

VISION = VisionGeometry(64, 2, 2, 128, tile_px=32, patch_px=8, activation="quick_gelu", eps=1e-5)
DECODER = DecoderGeometry(64, 2, 2, 128, 375, 128, 16, 10000.0, activation="gelu_new", eps=1e-5)
SMALL = PheyeConfig("small", VISION, DECODER, 1, 2, 1, 0, True, "float32", "float32", "float32")
RANKS = {"first": 4, "second": 8}
COLOURS = ("red", "green", "blue", "white", "black")
CORNERS = ("tl", "tr", "bl", "br")


def small_checkpoint(config: PheyeConfig = SMALL) -> Checkpoint:
    """Random frozen parts, and what is trained as training begins it."""
    ranks = {name: rank for name, rank in RANKS.items() if name == "second" or config.first_level}
    tensors = {**RandomTensors(tensor_shapes(config, ranks)), **initial_tensors(config, ranks, seed=0)}
    return Checkpoint(config, ranks, tensors, small_tokenizer(), "small")


@cache
def small_tokenizer() -> TextTokenizer:
    """Bytes, and what every prompt begins with, so that a prompt is a few tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=DECODER.vocab_size, initial_alphabet=alphabet, special_tokens=[END_OF_TEXT], show_progress=False
    )
    tokenizer.train_from_iterator([render("").removesuffix("\nOutput:")] * 2, trainer)
    return TextTokenizer(tokenizer, tokenizer.token_to_id(END_OF_TEXT))


def small_folder(folder: Path) -> Path:
    """The same as a folder."""
    own = small_checkpoint()
    export(Trained(own.config, own.ranks, own.tensors, own.tokenizer, {}), folder)
    return folder


def picture(index: int) -> Image.Image:
    """Draw one of twenty different pictures."""
    image = Image.new("RGB", (64, 64), COLOURS[index % 5])
    corner = (index // 5 % 2 * 32, index // 10 * 32)
    ImageDraw.Draw(image).rectangle((*corner, corner[0] + 31, corner[1] + 31), fill="gray")
    return image


def answer(index: int) -> str:
    """Return the right answer about a picture."""
    return f"{COLOURS[index % 5]} {CORNERS[index // 5 % 4]}"


def write_pictures(folder: Path, count: int = 20) -> Path:
    """A manifest of some of them."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for index in range(count):
        picture(index).save(folder / "images" / f"{index}.png")
        lines.append({"image": f"images/{index}.png", "instruction": "What?", "response": answer(index)})
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Pictures:
    """Them as a source, with turns of very different lengths."""

    count: int = 20

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        long = Turn("Say it at length", " and ".join([answer(index)] * (1 + index % 4)))
        return Sample(picture(index % 20), (Turn("What?", answer(index)), long, Turn("Number", str(index))))

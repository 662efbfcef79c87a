"""Golden cases, token for token: answers of the original model, compared in float32 on this device.

A folder of cases is a checkpoint with `cases.json` beside it. One thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from model.bench.gpu.checks.verdict import same
from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import Rows
from model.bench.gpu.variants import VARIANTS, DecodeVariant, new_runner
from model.checkpoint.checkpoint import open_checkpoint
from model.pixels.tiles import prepare
from model.runtime.hardware import resolve_device

TOGETHER = 8  # cases that are answered in one batch


def items(given: PartInput) -> Iterator[Item]:
    """List every folder of cases, answered in all decode forms."""
    device = resolve_device(given.device)
    for folder in map(Path, given.golden):
        for variant in VARIANTS:
            yield Item(f"golden {folder.name} {variant.name}", partial(golden, folder, device, variant), 60.0)


def golden(folder: Path, device: torch.device, variant: DecodeVariant) -> Data:
    """Check the answer of every case, several at once."""
    cases: list[dict[str, Any]] = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["cases"]
    checkpoint = open_checkpoint(str(folder))
    runner = new_runner(checkpoint, device, torch.float32, variant, slots=TOGETHER, context_tokens=512)
    config, rows, answers = runner.config, Rows(runner), []
    for start in range(0, len(cases), TOGETHER):
        batch = cases[start : start + TOGETHER]
        images = []
        for case in batch:
            with Image.open(folder / case["image"]) as image:
                images.append(prepare(image, config.vision.tile_px, config.level))
        tokens = len(batch[0]["greedy_no_eos"])
        answers += rows.answers(images, [case["input_ids"] for case in batch], tokens)
    return same(answers, [case["greedy_no_eos"] for case in cases])

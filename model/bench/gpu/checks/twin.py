"""Fast path against naive twin in float32: the angle between features, and the cost of each token.

A token costs how far its logit in the naive twin lies below the best one there, in standard deviations of that step's
logits: 0 where both choose the same. Unlike the share of equal tokens it says how wrong a differing token is, and one
difference does not make all that follow differ, since the twin reads what the fast path has said. One thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from model.bench.gpu.checks.subjects import SUBJECTS, subject
from model.bench.gpu.checks.verdict import within
from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import Rows
from model.bench.gpu.variants import VARIANTS, DecodeVariant, new_runner
from model.bench.halves import Twin, load_twin
from model.pixels.tiles import TiledImage, Tiles
from model.runtime.hardware import resolve_device

TOKENS, QUESTIONS, IMAGES = 12, 3, 2
# Greatest cost of a token, and greatest 1 - cosine of an image token's features.
COST_BOUNDS: Mapping[torch.dtype, float] = {torch.float32: 1e-3, torch.bfloat16: 0.25}
ANGLE_BOUNDS: Mapping[torch.dtype, float] = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


def items(given: PartInput) -> Iterator[Item]:
    """List every subject in both number formats, decoded in all forms."""
    device = resolve_device(given.device)
    names = SUBJECTS if device.type == "cuda" else SUBJECTS[:1]
    for name in names:
        for dtype in (torch.float32, torch.bfloat16):
            for variant in VARIANTS:
                words = f"twin {name} {str(dtype).removeprefix('torch.')} {variant.name}"
                yield Item(words, partial(against_the_twin, name, device, dtype, variant), 60.0)


@torch.inference_mode()
def against_the_twin(name: str, device: torch.device, dtype: torch.dtype, variant: DecodeVariant) -> Data:
    """Check the fast path's features and answers about images against the naive twin's."""
    checkpoint = subject(name, device)
    runner = new_runner(checkpoint, device, dtype, variant, slots=8, context_tokens=512)
    rows = Rows(runner)
    images = [rows.image(row % IMAGES) for row in range(QUESTIONS * IMAGES)]
    prompts = [rows.prompt(row) for row in range(QUESTIONS * IMAGES)]
    answers = rows.answers(images, prompts, TOKENS)
    twin = _twin(name, device)
    features = [_features(twin, image.tiles) for image in images[:IMAGES]]
    costs = torch.cat(
        [
            _costs(twin, prompt, answer, features[row % IMAGES])
            for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]
    )
    angle = max(_angle(rows, images[place], features[place]) for place in range(IMAGES))
    bound = COST_BOUNDS[dtype]
    return {
        **within(float(costs.max()), bound, mean_cost=float(costs.mean()), equal=float((costs == 0).float().mean())),
        "verdict": "passed" if float(costs.max()) <= bound and angle <= ANGLE_BOUNDS[dtype] else "failed",
        "features_angle": angle,
        "features_bound": ANGLE_BOUNDS[dtype],
    }


_TWINS: dict[tuple[str, torch.device], Twin] = {}


def _twin(name: str, device: torch.device) -> Twin:
    if (name, device) not in _TWINS:
        _TWINS.clear()  # the larger ones take gigabytes
        _TWINS[name, device] = load_twin(subject(name, device), device, torch.float32)
    return _TWINS[name, device]


def _features(twin: Twin, tiles: Tiles) -> Tensor:
    """Compute the naive twin's features [1, V, D_vit]."""
    vision = twin.model.vision_encoder
    features: Tensor = vision(vision.pixels(torch.from_numpy(tiles)).unsqueeze(0))
    return features


def _costs(twin: Twin, prompt: tuple[int, ...], answer: list[int | None], features: Tensor) -> Tensor:
    """Return the cost of every token of an answer [T]; infinite for one whose logits were not finite."""
    tokens = [token for token in answer if token is not None]
    if len(tokens) < len(answer):
        return torch.full((len(answer),), torch.inf)
    ids = torch.tensor([[*prompt, *tokens[:-1]]], device=twin.device)
    logits = twin.model(ids, features)[0, len(prompt) - 1 :].float()  # [T, vocab]
    chosen = logits.gather(1, torch.tensor(tokens, device=twin.device).unsqueeze(1)).squeeze(1)
    costs: Tensor = (logits.max(dim=-1).values - chosen) / logits.std(dim=-1)
    return costs.cpu()


def _angle(rows: Rows, image: TiledImage, expected: Tensor) -> float:
    """Return the greatest 1 - cosine between both sides' features of an image token; expected [1, V, D_vit]."""
    rows.encode([image])
    found = rows.features(image).double()
    rows.close([image])
    cosine = torch.cosine_similarity(found, expected[0].to(found.device).double(), dim=-1)
    return float(1 - cosine.min())

"""Averages of models trained from the same start ("model soups", arXiv 2203.05482; with the start, arXiv 2109.01903).

Fine-tuned models of one start lie in one basin of the loss, so the mean of their weights is a model too, which often
does both what the start could and what they learned. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.checkpoint.sources import CheckpointError, folder_of
from model.provenance import provenance
from model.training.artifacts.export import Trained, export
from model.training.artifacts.records import read_record


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One of the models that are averaged, with its share of the average."""

    model: str
    share: float

    @classmethod
    def parse(cls, text: str) -> Ingredient:
        """Read a model and its share from `MODEL=SHARE`.

        Raises:
            ValueError: the text has no share above 0 in it.

        >>> Ingredient.parse("runs/a/model=0.4")
        Ingredient(model='runs/a/model', share=0.4)
        """
        model, _, share = text.rpartition("=")
        try:
            if model and 0 < float(share) <= 1:
                return cls(model, float(share))
        except ValueError:
            pass
        raise ValueError(f"{text!r}: expected MODEL=SHARE with a share between 0 and 1, such as runs/a/model=0.5")


def average(ingredients: Sequence[Ingredient], folder: Path) -> Path:
    """Write the average of some models, computed in float64, as a model of its own.

    It is said to know what the first one knows, without samples.

    Args:
        ingredients: models of one geometry and one start; their shares add up to 1.
        folder: where; must not exist yet.

    Raises:
        CheckpointError, ConfigError, TokenizerError: a model cannot be read, or does not fit the first.
        ValueError: the shares do not add up to 1.
    """
    total = sum(each.share for each in ingredients)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"the shares add up to {total:g}; they must add up to 1")
    opened = [open_checkpoint(each.model) for each in ingredients]
    for each, checkpoint in zip(ingredients[1:], opened[1:], strict=True):
        _check_fits(each.model, checkpoint, ingredients[0].model, opened[0])
    shares = [each.share for each in ingredients]
    tensors = {name: _mean([each.tensors[name] for each in opened], shares) for name in opened[0].tensors}
    first = opened[0]
    about = None if first.about is None else replace(first.about, samples=())  # nobody has seen what it says of them
    trained = Trained(first.config, first.ranks, tensors, first.tokenizer, _record(ingredients), about)
    export(trained, folder)
    return folder


def _check_fits(model: str, checkpoint: Checkpoint, first_model: str, first: Checkpoint) -> None:
    for what, ours, theirs in (
        ("geometry", replace(checkpoint.config, name=first.config.name), first.config),
        ("adapters", checkpoint.ranks, first.ranks),
        ("vocabulary", _vocabulary(checkpoint), _vocabulary(first)),
    ):
        if ours != theirs:
            raise CheckpointError(f"{model}: its {what} differs from that of {first_model}; nothing can be averaged")


def _vocabulary(checkpoint: Checkpoint) -> list[bytes]:
    tokenizer = checkpoint.tokenizer
    return [tokenizer.token_bytes(token) for token in range(tokenizer.largest_id + 1)]


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if all(torch.equal(tensors[0], each) for each in tensors[1:]):  # a frozen one stays the same to the last bit
        return tensors[0]
    total = sum(share * each.double() for share, each in zip(shares, tensors, strict=True))
    return torch.as_tensor(total).to(tensors[0].dtype)


def _record(ingredients: Sequence[Ingredient]) -> Mapping[str, object]:
    averaged = [
        {"model": each.model, "share": each.share, "training": read_record(folder_of(each.model, None))}
        for each in ingredients
    ]
    return {"averaged": averaged, **provenance()}

"""Pheye with gradients: frozen and trained parameters, and the loss of a batch.

Owns the parameters (the naive twin's, by their canonical names) and the passes over them. Knows no optimizer and no
files. Called by the training process's main thread only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PheyeConfig
from model.layout import is_trained
from model.reference.naive import NaivePheye
from model.training.batches import TrainingBatch
from model.training.passes.text import TextPass, text_layer
from model.training.passes.vision import VisionPass, under, vision_layer
from model.training.recipe import Parts
from model.training.rows import NOTHING, SHARED

_UNUSED = (  # stored in every checkpoint, used by none: no gradient reaches them
    "vision_encoder.norm_lvl_3.",
    "vision_encoder.vision_model.base_model.model.post_layernorm.",
)


@dataclass(frozen=True, slots=True)
class Passes:
    """Options of the forward passes; none of them changes what is computed, up to rounding.

    Attributes:
        dtype: of activations and frozen weights; trained weights are kept in float32.
        compiled: compile the layers; the first steps take a minute, the others less.
        recompute: gradient checkpointing, layer by layer.
    """

    dtype: torch.dtype = torch.float32
    compiled: bool = False
    recompute: bool = False


def learns(name: str, parts: Parts = "adapted") -> bool:
    """Return whether a parameter is trained: all of `parts`, less what no pass reads."""
    return (parts == "everything" or is_trained(name)) and not name.startswith(_UNUSED)


class Learner(nn.Module):
    """Pheye with trained parameters: the losses, logits and features of batches, with gradients.

    Args:
        config: the geometry.
        ranks: of each adapter.
        tensors: every tensor of a checkpoint by canonical name; trained ones may be missing if `initial` gives them.
        passes: how to compute.
        absent: parts of names of parameters that are neither read nor trained, in ablations.
        parts: what is trained.
    """

    def __init__(
        self,
        config: PheyeConfig,
        ranks: Mapping[str, int],
        tensors: Mapping[str, Tensor],
        passes: Passes | None = None,
        absent: Sequence[str] = (),
        parts: Parts = "adapted",
    ) -> None:
        super().__init__()
        passes = passes or Passes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
            self.pheye = NaivePheye(config, ranks)
        self.pheye.load_state_dict(dict(tensors), strict=True)
        weights = {}
        for name, parameter in self.pheye.named_parameters():
            present = not any(part in name for part in absent)
            parameter.requires_grad_(present and learns(name, parts))
            if not learns(name, parts):
                parameter.data = parameter.data.to(passes.dtype)
            if present:
                weights[name] = parameter
        layers = (torch.compile(vision_layer), torch.compile(text_layer)) if passes.compiled else None
        vision, text = layers or (vision_layer, text_layer)
        self._dtype = passes.dtype
        self._vision = VisionPass(under(weights, "vision_encoder."), config, vision, passes.recompute)
        self._text = TextPass(under(weights, "lang_encoder."), config, text, passes.recompute)

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by canonical name."""
        return {name: parameter for name, parameter in self.pheye.named_parameters() if parameter.requires_grad}

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, cross-entropy summed over its output tokens (section 3.1), and count right ones.

        Returns:
            Two scalars; the second counts tokens whose likeliest continuation is the label, without gradient.
        """
        hidden, labels = self.outputs(batch)
        logits = self._text.logits(hidden)
        right = (logits.detach().argmax(dim=-1) == labels).sum()
        return F.cross_entropy(logits, labels, reduction="sum"), right

    def logits(self, batch: TrainingBatch) -> Tensor:
        """Compute logits after each token that has a label, in the order of the batch, float32 [n, vocab]."""
        return self._text.logits(self.outputs(batch)[0])

    def outputs(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Compute the decoder's output at each token that has a label [n, D], and return it with the labels [n]."""
        hidden = self.hidden(batch.ids, batch.positions, batch.turns, self.features(batch.tiles))
        said = batch.labels != NOTHING
        return hidden[said], batch.labels[said]

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.pheye.parameters()).device

    def features(self, tiles: Tensor) -> Tensor:
        """Compute image features [B, V, D_vit] from tiles, uint8 [B, N, S, S, 3]."""
        return self._vision(tiles, self._dtype)

    def hidden(self, ids: Tensor, positions: Tensor, turns: Tensor, features: Tensor) -> Tensor:
        """Compute the decoder's output [B, T, D]; see `TrainingBatch` for the first three."""
        return self._text(ids, positions, attention_mask(turns, self._dtype), features)

    def read(self, hidden: Tensor) -> Tensor:
        """Compute logits, float32 [n, vocab], from the decoder's output [n, D]."""
        return self._text.logits(hidden)


def attention_mask(turns: Tensor, dtype: torch.dtype) -> Tensor:
    """Build the mask added to attention scores [B, 1, T, T]: a token sees earlier tokens, shared or of its own turn."""
    rows, columns = turns.unsqueeze(2), turns.unsqueeze(1)
    before = torch.ones(turns.shape[1], turns.shape[1], dtype=torch.bool, device=turns.device).tril()
    seen = before & ((columns == SHARED) | (rows == columns))  # [B, T, T]
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, -torch.inf).unsqueeze(1)

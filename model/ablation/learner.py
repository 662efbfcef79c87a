"""Training model of a variant: Pheye's forward passes without what the variant lacks, with its bridge between them.

Knows no optimizer and no files. Called by the training process's main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.ablation.bridges import bridge_of
from model.ablation.variants import Variant
from model.config import PheyeConfig
from model.training.batches import TrainingBatch
from model.training.learner import Learner, Passes, attention_mask
from model.training.rows import NOTHING, SHARED


class VariantLearner(Learner):
    """Model of a variant during training.

    Args:
        variant: what it is.
        config: Pheye's geometry; the variant's level is taken from the variant.
        ranks: of each adapter.
        tensors: every tensor of a Pheye checkpoint by canonical name.
        passes: how to compute.
        seed: of the bridge's new parameters.
    """

    def __init__(
        self,
        variant: Variant,
        config: PheyeConfig,
        ranks: Mapping[str, int],
        tensors: Mapping[str, Tensor],
        passes: Passes | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(config, ranks, tensors, passes, variant.absent)
        self._variant = variant
        self.bridge = bridge_of(variant, config, seed)

    def trained(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name; the bridge's names begin with `bridge.`."""
        new = {} if self.bridge is None else {f"bridge.{name}": each for name, each in self.bridge.named_parameters()}
        return super().trained() | new

    def outputs(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Compute the decoder's output at each token that has a label [n, D], and return it with the labels [n]."""
        tiles = batch.tiles[:, :1] if self._variant.level == 1 else batch.tiles
        features = self._vision(tiles, self._dtype)
        before = None
        if self.bridge is not None:
            bridged = self.bridge(features.float()).to(self._dtype)
            if self._variant.connector == "cross-attention":
                features = bridged
            else:
                before, batch = bridged, _behind(batch, bridged.shape[1])
        mask = attention_mask(batch.turns, self._dtype)
        hidden = self._text(batch.ids, batch.positions, mask, features, before)
        said = batch.labels != NOTHING
        return hidden[said], batch.labels[said]


def _behind(batch: TrainingBatch, count: int) -> TrainingBatch:
    """Make room for embeddings in front of a batch's tokens, which every turn sees; the ids stay as they are."""
    places = torch.arange(count, device=batch.ids.device).expand(len(batch.ids), -1)
    return batch._replace(
        positions=torch.cat([places, batch.positions + count], dim=1),
        turns=F.pad(batch.turns, (count, 0), value=SHARED),
        labels=F.pad(batch.labels, (count, 0), value=NOTHING),
    )

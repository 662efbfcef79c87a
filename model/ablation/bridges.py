"""Modules between image and text in the variants: resamplers, and image embeddings put in front of the text.

Plain modules in float32; they are small beside what they join. Know no pixels and no tokens. One thread at a time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.ablation.variants import Variant
from model.config import PheyeConfig
from model.network.layers import join_heads, split_heads

_PERCEIVER_LAYERS = 6  # Flamingo's, as appendix B.2 takes it
_QUERY_STD = 0.02


class Queries(nn.Module):
    """Learned queries that attend to image tokens and to themselves (arXiv 2204.14198, appendix A.1.1).

    Args:
        width: of the image tokens.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_image, self.norm_queries = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, image: Tensor) -> Tensor:
        """Attend from queries [B, Q, D] to image tokens [B, V, D] -> [B, Q, D], without a residual connection."""
        normed = self.norm_queries(queries)
        seen = torch.cat([self.norm_image(image), normed], dim=1)
        k, v = (split_heads(part, self.heads) for part in self.to_kv(seen).chunk(2, dim=-1))
        read = F.scaled_dot_product_attention(split_heads(self.to_q(normed), self.heads), k, v)
        out: Tensor = self.to_out(join_heads(read))
        return out


class Resampler(nn.Module):
    """Resampler that compresses image tokens to a fixed number: the Perceiver's several layers, or Monkey's single one.

    Monkey's is a layer without feed-forward part and without residual connection of the queries (appendix B.2).

    Args:
        count: queries, that is tokens that come out.
        width: of image tokens.
        heads: of the attention.
        layers: 0 for Monkey's, else of the Perceiver.
    """

    def __init__(self, count: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(count, width) * _QUERY_STD)
        self.residual = layers > 0
        self.layers = nn.ModuleList(Queries(width, heads) for _ in range(max(1, layers)))
        self.forwards = nn.ModuleList(_feed_forward(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """Compress image tokens [B, V, D] to [B, Q, D]."""
        x = self.queries.expand(len(image), -1, -1)
        if not self.residual:
            x = self.layers[0](x, image)
        for attend, forward in zip(self.layers, self.forwards, strict=False):
            x = x + attend(x, image)
            x = x + forward(x)
        out: Tensor = self.norm(x)
        return out


class Prefix(nn.Module):
    """Projection of image tokens into the language model's width, one by one (appendix B.1).

    Args:
        image_width, text_width: of the tokens that go in and come out.
        first_only: map the global view's CLS token alone, as FROMAGe does.
    """

    def __init__(self, image_width: int, text_width: int, first_only: bool) -> None:
        super().__init__()
        self.first_only = first_only
        self.map = nn.Linear(image_width, text_width)

    def forward(self, image: Tensor) -> Tensor:
        """Project image tokens [B, V, D_vit] to prefix embeddings [B, P, D], P = 1 or V."""
        out: Tensor = self.map(image[:, :1] if self.first_only else image)
        return out


def bridge_of(variant: Variant, config: PheyeConfig, seed: int) -> nn.Module | None:
    """Build a variant's new module, equal for equal seeds; None where Pheye's own parts suffice."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if variant.connector != "cross-attention":
            return Prefix(config.vision.width, config.decoder.width, variant.connector == "cls prefix")
        if variant.resampler is None:
            return None
        layers = _PERCEIVER_LAYERS if variant.resampler == "perceiver" else 0
        return Resampler(config.vision.tokens_per_tile, config.vision.width, config.vision.heads, layers)


def _feed_forward(width: int) -> nn.Module:
    inner, outer = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
    return nn.Sequential(nn.LayerNorm(width), inner, nn.GELU(), outer)

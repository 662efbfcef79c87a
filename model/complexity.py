"""Costs of a Pheye model: the paper's equations 1 to 4, and exact counts of parameters, bytes and FLOPs.

Pure arithmetic on a `PheyeConfig`: no tensors and no machine, so a model can be judged before it is downloaded. The
counts are the shapes of the matrices in `model/`; tests hold them against what torch measures. Any thread may ask.

Two units, never mixed: the paper counts multiplications and one of the two attention products; everything called
FLOPs here counts every matrix product, two for each multiply-add, and neither norms, activations nor softmax.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model.config import PheyeConfig
from model.layout import ADAPTER_RANKS, adapters, is_trained, tensor_shapes

INT4_BYTES = 0.5 + 2 / 64  # of a weight, with the share of its group's scale
DTYPE_BYTES: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2}  # what weights are stored in
KEPT_BYTES: Mapping[str, int] = {**DTYPE_BYTES, "int8": 4, "int4": 4}  # keys and values of text: those are for products
IMAGE_BYTES: Mapping[str, int] = {**DTYPE_BYTES, "int8": 2, "int4": 2}  # features, keys and values of images
PAPER_TEXT_TOKENS = 65  # N_T, "the typical prompt length for captioning" (section 2.2)
PREFIX_TOKENS = 45  # of these, those every prompt begins with
_UNUSED = ("post_layernorm", "norm_lvl_3")  # in every checkpoint, in no computation


def vit_multiplications(n: int, d: int) -> int:
    """Compute equation 1: one layer of a vision transformer over N tokens of width D.

    Args:
        n: N, patches and the CLS token.
        d: D, the transformer's width.
    """
    return 4 * n * d**2 + d * n**2 + 8 * n * d**2


def tiled_vit_multiplications(n_tile: int, d: int, p: int) -> int:
    """Compute equation 2: the same layer over P sub-images of N' tokens each, which do not attend to one another.

    Args:
        n_tile: N', tokens of one sub-image, its CLS token included.
        d: D, the transformer's width.
        p: P, sub-images, the global view included.
    """
    return vit_multiplications(n_tile, d) * p


def llava_multiplications(n_t: int, n_i: int, d: int) -> int:
    """Compute equation 3: one layer of a language model that has the image tokens in its sequence, as LLaVA does.

    Args:
        n_t: N_T, text tokens.
        n_i: N_I, image tokens.
        d: D, the language model's width.
    """
    return vit_multiplications(n_t + n_i, d)


def pheye_multiplications(n_t: int, n_i: int, d: int, d_vit: int, i: float) -> float:
    """Compute equation 4: the average layer of a language model with dense cross-attention before every I-th layer.

    Args:
        n_t: N_T, text tokens.
        n_i: N_I, image tokens.
        d: D, the language model's width.
        d_vit: D_ViT, the vision transformer's width.
        i: I, decoder layers for each cross-attention block.
    """
    block = 2 * n_i * d_vit * d + 2 * n_t * d**2 + d * n_t * n_i + 8 * n_t * d**2
    return vit_multiplications(n_t, d) + block / i


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios of multiplications, usual way over Pheye's: a large ViT, and image tokens in the sequence."""

    vision: float
    language: float


def paper_ratios(interval: int) -> Ratios:
    """Compute the examples of section 2.2: 672 px, N = N_I = 2305, N' = 257, P = 10, D = 1280 and 2048, N_T = 65.

    The text rounds them to 1.02 (equations 1 and 2 give 1.0145), 12.1 for I = 2 and 18.5 for I = 4.
    """
    vision = vit_multiplications(2305, 1280) / tiled_vit_multiplications(257, 1280, 10)
    language = llava_multiplications(PAPER_TEXT_TOKENS, 2305, 2048)
    return Ratios(vision, language / pheye_multiplications(PAPER_TEXT_TOKENS, 2305, 2048, 1280, interval))


def own_ratios(config: PheyeConfig, text_tokens: int = PAPER_TEXT_TOKENS) -> Ratios:
    """Compute the ratios with a model's own sizes: N of one ViT at its resolution, N_I of its own image tokens.

    The paper gives both language models the ViT's N_I; here equation 4 gets the tiles' tokens, which are more.
    """
    d, d_vit = config.decoder.width, config.vision.width
    n = (config.image_px // config.vision.patch_px) ** 2 + 1
    vision = vit_multiplications(n, d_vit)
    interval = config.decoder.layers / len(config.cross_layers)
    ours = pheye_multiplications(text_tokens, config.image_tokens, d, d_vit, interval)
    return Ratios(
        vision / tiled_vit_multiplications(config.vision.tokens_per_tile, d_vit, config.tiles),
        llava_multiplications(text_tokens, n, d) / ours,
    )


@dataclass(frozen=True, slots=True)
class Parameters:
    """Number of parameters in a checkpoint, part by part.

    `unused` are the level norm of a third level and CLIP's last norm. `trained` counts what training changes (section
    3.1); it overlaps the parts, all three level norms included.
    """

    vision_tower: int
    adapter_local: int
    adapter_global: int
    level_norms: int
    tile_positions: int
    cross_attention: int
    language_model: int
    unused: int
    trained: int

    @property
    def total(self) -> int:
        """Number of parameters of all parts."""
        parts = (self.vision_tower, self.adapter_local, self.adapter_global, self.level_norms, self.tile_positions)
        return sum(parts) + self.cross_attention + self.language_model + self.unused

    @property
    def served(self) -> int:
        """Number of parameters in memory while serving: two vision towers, each with its adapter merged in."""
        rest = self.level_norms + self.tile_positions + self.cross_attention + self.language_model
        return 2 * self.vision_tower + rest


def parameters(config: PheyeConfig, ranks: Mapping[str, int] = ADAPTER_RANKS) -> Parameters:
    """Count the parameters of each part.

    Args:
        config: the model.
        ranks: rank of each adapter. The published 295M and 578M come out exactly with `second` at 16 alone, and as
            exactly with two adapters of rank 8 (appendix B.2), because a set of rank 16 has twice the parameters.
    """
    ranks = {adapter: ranks[adapter] for adapter in adapters(config)}
    sizes = {name: math.prod(shape) for name, shape in tensor_shapes(config, ranks).items()}
    parts = dict.fromkeys((field for field in Parameters.__dataclass_fields__), 0)
    for name, size in sizes.items():
        parts[_part(name)] += size
    parts["trained"] = sum(size for name, size in sizes.items() if is_trained(name))
    return Parameters(**parts)


def _part(name: str) -> str:
    """Return the field of `Parameters` that counts a tensor; the first match wins."""
    if any(unused in name for unused in _UNUSED):
        return "unused"
    if ".lora_" in name:
        return "adapter_local" if ".second." in name else "adapter_global"
    marks = {
        ".norm_lvl_": "level_norms",
        ".connector.": "tile_positions",
        ".cross_attn_layer.": "cross_attention",
        "lang_encoder.": "language_model",
    }
    return next((part for mark, part in marks.items() if mark in name), "vision_tower")


def self_attention_bytes(config: PheyeConfig, context_tokens: int, dtype: str) -> int:
    """Compute the bytes of one row slot's KV cache: keys and values of every decoder layer."""
    decoder = config.decoder
    return 2 * decoder.layers * decoder.width * min(context_tokens, decoder.max_positions) * KEPT_BYTES[dtype]


def cross_attention_bytes(config: PheyeConfig, dtype: str) -> int:
    """Compute the bytes of one image's keys and values for every cross-attention block."""
    return 2 * len(config.cross_layers) * config.inner_width * config.image_tokens * IMAGE_BYTES[dtype]


def weight_bytes(config: PheyeConfig, dtype: str, *, twice: bool = False) -> int:
    """Bytes of the weights in memory while serving.

    In int8 and int4 the embedding of tokens stays in float32; in int4 output head and projection of images are int8.

    Args:
        config: the model.
        dtype: it computes in.
        twice: whether a second form is kept for compiled code: of the decoder in int8, of everything in float32.
    """
    served = parameters(config).served
    if dtype in DTYPE_BYTES:
        return served * DTYPE_BYTES[dtype] * (2 if twice else 1)
    embedding = config.decoder.vocab_size * config.decoder.width
    projection = len(config.cross_layers) * (config.vision.width + 1) * 2 * config.inner_width
    count = parameters(config)
    layers = count.language_model + count.cross_attention - 2 * embedding - projection
    once = served - embedding - layers
    form = INT4_BYTES if dtype == "int4" else 2 if twice else 1
    head = embedding if twice else 0
    return 4 * embedding + once + head + int(layers * form)


def slot_bytes(config: PheyeConfig, context_tokens: int, dtype: str) -> int:
    """Compute the bytes of a row slot and an image slot, in which the beginning of every prompt is kept as well."""
    held = min(context_tokens, config.decoder.max_positions)  # a slot has no more than the model has positions
    own, beginning = (self_attention_bytes(config, tokens, dtype) for tokens in (held, PREFIX_TOKENS))
    return own + beginning + cross_attention_bytes(config, dtype)


def feature_bytes(config: PheyeConfig, dtype: str) -> int:
    """Compute the bytes of one image in the feature cache."""
    return config.image_tokens * config.vision.width * IMAGE_BYTES[dtype]


def encode_flops(config: PheyeConfig, side_ranks: Mapping[str, int] | None = None) -> int:
    """Compute the FLOPs of encoding one image.

    Args:
        config: the model.
        side_ranks: rank of each adapter where adapters are computed beside the frozen weights, as the original does;
            None where they are merged, as served here.
    """
    v = config.vision
    tokens, patches, patch_width = v.tokens_per_tile, v.tokens_per_tile - 1, 3 * v.patch_px**2
    linear = v.layers * tokens * (4 * v.width**2 + 2 * v.width * v.mlp_width)
    attention = v.layers * 2 * tokens**2 * v.width
    flops = 2 * config.tiles * (linear + attention + patches * patch_width * v.width)
    if side_ranks is not None:
        per_rank = v.layers * tokens * (4 * 2 * v.width + 2 * (v.width + v.mlp_width))
        per_rank += patches * (patch_width + v.width)
        flops += 2 * per_rank * sum(_tile_ranks(config, side_ranks))
    return flops


def _tile_ranks(config: PheyeConfig, ranks: Mapping[str, int]) -> Iterator[int]:
    """Return the adapter rank that each tile of an image is computed with."""
    yield ranks["first"] if config.first_level else 0
    yield from [ranks["second"]] * (config.tiles - 1)


def project_flops(config: PheyeConfig) -> int:
    """Compute the FLOPs of the keys and values of one image in every cross-attention block."""
    return 2 * len(config.cross_layers) * config.image_tokens * config.vision.width * 2 * config.inner_width


def prefill_flops(config: PheyeConfig, tokens: int, *, original: bool = False) -> int:
    """Compute the FLOPs of prefill for a prompt about an encoded image, the image's keys and values included.

    The original computes logits of every prompt token, the service those of the last one.
    """
    return project_flops(config) + _append_flops(config, tokens, tokens, tokens if original else 1)


def decode_flops(config: PheyeConfig, context_tokens: int, *, recompute: bool = False) -> int:
    """Compute the FLOPs of decoding one more token.

    Args:
        config: the model.
        context_tokens: tokens the row holds with the new one.
        recompute: whether the image's keys and values are projected anew, as the original does at every token.
    """
    return _append_flops(config, 1, context_tokens, 1) + (project_flops(config) if recompute else 0)


def _append_flops(config: PheyeConfig, tokens: int, reach: int, logits: int) -> int:
    d, inner = config.decoder, config.inner_width
    layer = tokens * (4 * d.width**2 + 2 * d.width * d.mlp_width) + 2 * tokens * reach * d.width
    block = tokens * (2 * d.width * inner + 2 * d.width * config.cross_mlp_width + 2 * config.image_tokens * inner)
    return 2 * (d.layers * layer + len(config.cross_layers) * block + logits * d.width * d.vocab_size)

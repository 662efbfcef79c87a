"""Names and shapes of every tensor in a checkpoint of a given configuration, against which strict loading checks.

The names are the published checkpoints' own, without the duplicates they also carry. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from model.config import TILE_POSITIONS, PheyeConfig

Shapes = dict[str, tuple[int, ...]]

ADAPTER_RANKS: Mapping[str, int] = {"first": 8, "second": 16}
VISION = "vision_encoder.vision_model.base_model.model."
RANK_PROBE = VISION + "encoder.layers.0.self_attn.q_proj.lora_A.{}.weight"


def adapters(config: PheyeConfig) -> tuple[str, ...]:
    """Return the names of the LoRA sets a checkpoint has."""
    return ("first", "second") if config.first_level else ("second",)


def tensor_shapes(config: PheyeConfig, ranks: Mapping[str, int]) -> Shapes:
    """Return every canonical tensor name with its shape; `ranks` gives the rank of each adapter."""
    return _vision(config, ranks) | _language(config)


def is_trained(name: str) -> bool:
    """Return whether training changes the tensor: LoRA, cross-attention, tile positions, level norms (section 3.1)."""
    return any(part in name for part in (".lora_", ".cross_attn_layer.", "connector.", ".norm_lvl_"))


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _adapted(name: str, inputs: int, outputs: int, ranks: Mapping[str, int]) -> Shapes:
    shapes = _linear(f"{name}.base_layer", inputs, outputs)
    for adapter, rank in ranks.items():
        shapes |= {f"{name}.lora_A.{adapter}.weight": (rank, inputs)}
        shapes |= {f"{name}.lora_B.{adapter}.weight": (outputs, rank)}
    return shapes


def _vision(config: PheyeConfig, ranks: Mapping[str, int]) -> Shapes:
    v = config.vision
    patch = VISION + "embeddings.patch_embedding"
    shapes: Shapes = {
        VISION + "embeddings.class_embedding": (v.width,),
        VISION + "embeddings.position_embedding.weight": (v.tokens_per_tile, v.width),
        f"{patch}.base_layer.weight": (v.width, 3, v.patch_px, v.patch_px),
        "vision_encoder.connector.embedding.weight": (TILE_POSITIONS, v.width),
    }
    for adapter, rank in ranks.items():
        shapes[f"{patch}.lora_A.{adapter}.weight"] = (rank, 3, v.patch_px, v.patch_px)
        shapes[f"{patch}.lora_B.{adapter}.weight"] = (v.width, rank, 1, 1)
    shapes |= _norm(VISION + "pre_layrnorm", v.width) | _norm(VISION + "post_layernorm", v.width)
    for level in (1, 2, 3):
        shapes |= _norm(f"vision_encoder.norm_lvl_{level}", v.width)
    for index in range(v.layers):
        layer = f"{VISION}encoder.layers.{index}."
        shapes |= _norm(layer + "layer_norm1", v.width) | _norm(layer + "layer_norm2", v.width)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _adapted(f"{layer}self_attn.{name}", v.width, v.width, ranks)
        shapes |= _adapted(layer + "mlp.fc1", v.width, v.mlp_width, ranks)
        shapes |= _adapted(layer + "mlp.fc2", v.mlp_width, v.width, ranks)
    return shapes


def _language(config: PheyeConfig) -> Shapes:
    d = config.decoder
    shapes: Shapes = {"lang_encoder.model.embed_tokens.weight": (d.vocab_size, d.width)}
    shapes |= _norm("lang_encoder.model.final_layernorm", d.width)
    shapes |= _linear("lang_encoder.lm_head", d.width, d.vocab_size)
    for index in range(d.layers):
        layer = f"lang_encoder.model.layers.{index}."
        own = layer + "decoder_layer."
        shapes |= _norm(own + "input_layernorm", d.width)
        for name in ("q_proj", "k_proj", "v_proj", "dense"):
            shapes |= _linear(f"{own}self_attn.{name}", d.width, d.width)
        shapes |= _linear(own + "mlp.fc1", d.width, d.mlp_width) | _linear(own + "mlp.fc2", d.mlp_width, d.width)
        if index in config.cross_layers:
            shapes |= _cross(layer + "cross_attn_layer.", config)
    return shapes


def _cross(block: str, config: PheyeConfig) -> Shapes:
    width, inner, mlp = config.decoder.width, config.inner_width, config.cross_mlp_width
    return (
        _norm(block + "attn.norm", width)
        | _linear(block + "attn.to_q", width, inner)
        | _linear(block + "attn.to_kv", config.vision.width, 2 * inner)
        | _linear(block + "attn.to_out", inner, width)
        | _norm(block + "ff.norm", width)
        | _linear(block + "ff.fc1", width, mlp)
        | _linear(block + "ff.fc2", mlp, width)
    )

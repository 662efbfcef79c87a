"""Config files of a checkpoint: its own `config.json`, and the hub configs of its encoder and decoder.

Strict: an unknown key, a missing one or a kind of model that is not served is an error that names it. Imports
transformers only when a hub config has to be read. Safe from any thread or process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.config import DTYPES, ConfigError, DecoderGeometry, VisionGeometry

_KEYS: Mapping[str, type] = {
    "encoder": str,
    "decoder": str,
    "tokenizer": str,
    "cross_interval": int,
    "level": int,
    "reduce": int,
    "from_layer": int,
    "first_level": bool,
    "encoder_dtype": str,
    "decoder_dtype": str,
    "other_params_dtype": str,
}


def read_checkpoint_keys(path: Path) -> dict[str, Any]:
    """Read and check a checkpoint's `config.json`, with dtypes turned into plain names.

    Raises:
        ConfigError: not JSON, or a key is unknown, missing or of the wrong type.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; a checkpoint folder has config.json beside its weights"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a JSON object")
    for key in raw:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; known are {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        if key not in raw:
            raise ConfigError(f"{path}: key {key!r} is missing")
        if type(raw[key]) is not kind:
            raise ConfigError(f"{path}: {key}: {raw[key]!r} is not of type {kind.__name__}")
        if key.endswith("_dtype"):
            raw[key] = _dtype_name(raw[key], f"{path}: {key}")
    return raw


def _dtype_name(text: str, where: str) -> str:
    name = text.removeprefix("torch.")
    if name not in DTYPES:
        raise ConfigError(f"{where}: {text!r} is not one of {', '.join('torch.' + d for d in DTYPES)}")
    return name


def vision_geometry(raw: Mapping[str, Any], where: str) -> VisionGeometry:
    """Read the geometry of a CLIP vision tower from its hub config (a whole CLIP config or its vision half)."""
    from transformers import CLIPVisionConfig

    _expect(
        raw.get("model_type") in ("clip", "clip_vision_model"),
        f"{where}: model_type {raw.get('model_type')!r} is not CLIP's",
    )
    c = CLIPVisionConfig.from_dict(dict(raw.get("vision_config", raw)))
    _expect(c.num_channels == 3, f"{where}: num_channels: {c.num_channels} is not 3")
    if not isinstance(c.image_size, int) or not isinstance(c.patch_size, int) or c.image_size % c.patch_size:
        raise ConfigError(f"{where}: image_size {c.image_size} is not a multiple of patch_size {c.patch_size}")
    return VisionGeometry(
        width=c.hidden_size,
        layers=c.num_hidden_layers,
        heads=c.num_attention_heads,
        mlp_width=c.intermediate_size,
        tile_px=c.image_size,
        patch_px=c.patch_size,
        activation=c.hidden_act,
        eps=c.layer_norm_eps,
    )


def decoder_geometry(raw: Mapping[str, Any], where: str) -> DecoderGeometry:
    """Read the geometry of a Phi language model from its hub config."""
    from transformers import PhiConfig

    _expect(raw.get("model_type") == "phi", f"{where}: model_type {raw.get('model_type')!r} is not 'phi'")
    c = PhiConfig.from_dict(dict(raw))
    _expect(not c.qk_layernorm, f"{where}: qk_layernorm is not supported")
    _expect(not c.tie_word_embeddings, f"{where}: tie_word_embeddings is not supported")
    _expect(c.num_key_value_heads == c.num_attention_heads, f"{where}: grouped key/value heads are not supported")
    rope: dict[str, Any] = dict(c.rope_parameters or {})
    _expect(
        rope.get("rope_type", "default") == "default", f"{where}: rope_type {rope.get('rope_type')!r} is not supported"
    )
    return DecoderGeometry(
        width=c.hidden_size,
        layers=c.num_hidden_layers,
        heads=c.num_attention_heads,
        mlp_width=c.intermediate_size,
        vocab_size=c.vocab_size,
        max_positions=c.max_position_embeddings,
        rotary_width=int(c.hidden_size // c.num_attention_heads * rope["partial_rotary_factor"]),
        rope_theta=rope["rope_theta"],
        activation=c.hidden_act,
        eps=c.layer_norm_eps,
    )


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)

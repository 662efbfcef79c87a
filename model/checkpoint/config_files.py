"""Config files of a checkpoint: its own `config.json`, and the hub configs of its encoder and decoder.

Strict: an unknown key, a missing one or a kind of model that is not served is an error that names it. Imports
transformers, which takes longer than small weights, only for a hub config that leaves something to the library's
defaults. Safe from any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from model.checkpoint.files import CheckpointFileError, read_json_object, shown
from model.config import DTYPES, ConfigError, DecoderGeometry, VisionGeometry

# Numbers of hub configs, each from 1 up to this, far beyond any model that could be served. They are checked before a
# library sees them, because some make lists as long as a number says.
_BOTH = {"hidden_size": 16_384, "num_hidden_layers": 256, "num_attention_heads": 1024, "intermediate_size": 131_072}
_VISION_BOUNDS = _BOTH | {"image_size": 4096, "patch_size": 4096, "num_channels": 3}
_DECODER_BOUNDS = _BOTH | {"vocab_size": 1 << 20, "max_position_embeddings": 1 << 20, "num_key_value_heads": 1024}
_MOST_PATCHES = 64  # along the side of a tile
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu")

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
        raw = read_json_object(path)
    except CheckpointFileError as error:
        raise ConfigError(f"{error}; a checkpoint folder has config.json beside its weights") from None
    for key in raw:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {shown(repr(key))}; known are {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        if key not in raw:
            raise ConfigError(f"{path}: key {key!r} is missing")
        if type(raw[key]) is not kind:
            raise ConfigError(f"{path}: {key}: {shown(repr(raw[key]))} is not of type {kind.__name__}")
        if key.endswith("_dtype"):
            raw[key] = _dtype_name(raw[key], f"{path}: {key}")
    return raw


def _dtype_name(text: str, where: str) -> str:
    name = text.removeprefix("torch.")
    if name not in DTYPES:
        raise ConfigError(f"{where}: {shown(repr(text))} is not one of {', '.join('torch.' + d for d in DTYPES)}")
    return name


def vision_geometry(raw: Mapping[str, Any], where: str) -> VisionGeometry:
    """Read the geometry of a CLIP vision tower from its hub config (a whole CLIP config or its vision half)."""
    _expect(
        raw.get("model_type") in ("clip", "clip_vision_model"),
        f"{where}: model_type {shown(repr(raw.get('model_type')))} is not CLIP's",
    )
    own = raw.get("vision_config", raw)
    if not isinstance(own, dict):
        raise ConfigError(f"{where}: vision_config is not an object")
    c = _read("CLIPVisionConfig", own, _VISION_BOUNDS, where)
    _expect(c.num_channels == 3, f"{where}: num_channels: {c.num_channels} is not 3")
    if c.image_size % c.patch_size:
        raise ConfigError(f"{where}: image_size {c.image_size} is not a multiple of patch_size {c.patch_size}")
    if c.image_size // c.patch_size > _MOST_PATCHES:
        raise ConfigError(f"{where}: patch_size: more than {_MOST_PATCHES} patches along the side of a tile")
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
    _expect(raw.get("model_type") == "phi", f"{where}: model_type {shown(repr(raw.get('model_type')))} is not 'phi'")
    c = _read("PhiConfig", raw, _DECODER_BOUNDS, where)
    _expect(not c.qk_layernorm, f"{where}: qk_layernorm is not supported")
    _expect(not c.tie_word_embeddings, f"{where}: tie_word_embeddings is not supported")
    _expect(c.num_key_value_heads == c.num_attention_heads, f"{where}: grouped key/value heads are not supported")
    rope: dict[str, Any] = dict(c.rope_parameters or {})
    _expect(
        rope.get("rope_type", "default") == "default",
        f"{where}: rope_type {shown(repr(rope.get('rope_type')))} is not supported",
    )
    share: Any = rope.get("partial_rotary_factor")
    theta: Any = rope.get("rope_theta")
    _expect(_is_number(share) and 0 < share <= 1, f"{where}: partial_rotary_factor: {shown(share)} is not in 0 to 1")
    _expect(_is_number(theta) and 1 <= theta <= 1e9, f"{where}: rope_theta: {shown(theta)} is not in 1 to 1e9")
    rotary_width = int(c.hidden_size // c.num_attention_heads * share)
    _expect(
        rotary_width % 2 == 0,
        f"{where}: partial_rotary_factor: {share} of a head makes {rotary_width} rotary channels, which are no pairs",
    )
    return DecoderGeometry(
        width=c.hidden_size,
        layers=c.num_hidden_layers,
        heads=c.num_attention_heads,
        mlp_width=c.intermediate_size,
        vocab_size=c.vocab_size,
        max_positions=c.max_position_embeddings,
        rotary_width=rotary_width,
        rope_theta=theta,
        activation=c.hidden_act,
        eps=c.layer_norm_eps,
    )


def _read(kind: str, raw: Mapping[str, Any], bounds: Mapping[str, int], where: str) -> Any:
    """Read a hub config once its numbers are in bounds; what it leaves out is as in the library's class `kind`."""
    for key, most in bounds.items():
        value = raw.get(key)
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise ConfigError(f"{where}: {key}: {shown(value)} is not a whole number from 1 to {most}")
    config = SimpleNamespace(**raw) if _states_all(kind, raw, bounds) else _by_library(kind, raw, where)
    eps, width, heads = config.layer_norm_eps, config.hidden_size, config.num_attention_heads
    _expect(_is_number(eps) and 0 < eps < 1, f"{where}: layer_norm_eps: {shown(eps)} is not between 0 and 1")
    _expect(width % heads == 0, f"{where}: hidden_size: {width} does not divide into {heads} heads")
    activation = config.hidden_act
    _expect(activation in _ACTIVATIONS, f"{where}: hidden_act: {shown(activation)} is not {', '.join(_ACTIVATIONS)}")
    return config


def _states_all(kind: str, raw: Mapping[str, Any], bounds: Mapping[str, int]) -> bool:
    """Return whether a config states all that is read of it, in the form in which the library of today writes it."""
    stated = all(raw.get(key) is not None for key in (*bounds, "hidden_act", "layer_norm_eps"))
    if kind == "CLIPVisionConfig":
        return stated
    flags = all(type(raw.get(key)) is bool for key in ("qk_layernorm", "tie_word_embeddings"))
    theta_and_share = {"rope_theta", "partial_rotary_factor"}
    older, rope = theta_and_share | {"rope_scaling"}, raw.get("rope_parameters")
    return stated and flags and not older & raw.keys() and isinstance(rope, dict) and theta_and_share <= rope.keys()


def _by_library(kind: str, raw: Mapping[str, Any], where: str) -> Any:
    import transformers

    try:
        return getattr(transformers, kind).from_dict(dict(raw))
    except Exception as error:  # the library's own checks, of whatever a stranger wrote
        raise ConfigError(f"{where}: not a config that can be read: {shown(error)}") from None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)  # no comparison lets NaN pass


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)

"""Export of a trained model: a folder that can be served, in our layout or in the published one.

Knows no optimizer. A folder appears whole or not at all. Called by the main process's main thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.about import About
from model.checkpoint.sources import ABOUT, RECORD, CheckpointError
from model.config import PheyeConfig
from model.layout import is_trained, tensor_shapes
from model.reference.naive import clip_config, phi_config
from model.tokenizer import TextTokenizer
from model.training.artifacts.records import told_once
from model.whole_files import appearing_whole

_LAYERS = "lang_encoder.model.layers."
_PARTS = {"decoder_layer": "lang_encoder.old_decoder_blocks.", "cross_attn_layer": "lang_encoder.cross_attn_layers."}


@dataclass(frozen=True, slots=True)
class Trained:
    """Trained model as a whole, ready to be written.

    Attributes:
        config: its geometry.
        ranks: of each adapter.
        tensors: every tensor by canonical name.
        tokenizer: its tokenizer.
        record: how it was made, as plain data.
        about: what it knows, in words, where that is known.
    """

    config: PheyeConfig
    ranks: Mapping[str, int]
    tensors: Mapping[str, Tensor]
    tokenizer: TextTokenizer
    record: Mapping[str, Any]
    about: About | None = None


def export(trained: Trained, folder: Path, dtype: str | None = None) -> None:
    """Write our layout: `config.json`, `model.safetensors`, `encoder/`, `decoder/`, `tokenizer/`, `training.json`.

    And `about.json`, where it is known what the model knows.

    Args:
        trained: the model.
        folder: must not exist yet.
        dtype: of every tensor, `float32`, `bfloat16` or `float16`; by default frozen tensors are stored as they are,
            and trained ones in the configuration's dtype for them.

    Raises:
        CheckpointError: the folder exists, or a tensor is missing.
    """
    _check_new(trained, folder)
    with appearing_whole(folder) as partial:
        _begin(trained, partial, dtype)
        header = {"format": "pt", "pheye": json.dumps(told_once(trained.record))}
        weights = partial / "model.safetensors"
        save_file(_stored(trained, dtype), weights, metadata=header)
        weights.chmod(0o644)  # safetensors lets its owner alone read it; a service may be another


def export_published(trained: Trained, folder: Path, dtype: str | None = None) -> None:
    """Write the published layout: `checkpoint.pt`, where decoder tensors have two names and one storage.

    Args and errors as of `export`.
    """
    _check_new(trained, folder)
    tensors = _stored(trained, dtype)
    with appearing_whole(folder) as partial:
        _begin(trained, partial, dtype)
        aliases = {_alias(name): tensors[name] for name in tensors if _alias(name)}
        with (partial / "checkpoint.pt").open("wb") as file:  # torch's own writer hides what the system says
            torch.save(tensors | aliases, file)


def _check_new(trained: Trained, folder: Path) -> None:
    if folder.exists():
        raise CheckpointError(f"{folder}: exists already; choose a new folder")
    missing = sorted(tensor_shapes(trained.config, trained.ranks).keys() - trained.tensors.keys())
    if missing:
        raise CheckpointError(f"tensor {missing[0]} is missing (of {len(missing)})")


def _begin(trained: Trained, partial: Path, dtype: str | None) -> None:
    trained.tokenizer.save(partial / "tokenizer")
    for name, part in (("encoder", clip_config(trained.config)), ("decoder", phi_config(trained.config))):
        _write(partial / name / "config.json", part.to_dict())
    _write(partial / "config.json", _keys(trained.config, dtype))
    _write(partial / RECORD, told_once(trained.record))
    if trained.about is not None:
        _write(partial / ABOUT, trained.about.as_json())


def _keys(config: PheyeConfig, dtype: str | None) -> dict[str, Any]:
    names = ("cross_interval", "level", "reduce", "from_layer", "first_level")
    dtypes = {name: dtype or getattr(config, name) for name in ("encoder_dtype", "decoder_dtype", "other_params_dtype")}
    return {
        **{name: name for name in ("encoder", "decoder", "tokenizer")},
        **{name: getattr(config, name) for name in names},
        **{name: f"torch.{value}" for name, value in dtypes.items()},
    }


def _stored(trained: Trained, dtype: str | None) -> dict[str, Tensor]:
    """Return each tensor contiguous, in the dtype it is kept in."""
    ours = getattr(torch, dtype or trained.config.other_params_dtype)
    return {
        name: trained.tensors[name].detach().cpu().to(ours if dtype or is_trained(name) else None).contiguous()
        for name in tensor_shapes(trained.config, trained.ranks)
    }


def _alias(name: str) -> str | None:
    """Return the second name of a tensor in the published layout; None if it has one name."""
    if not name.startswith(_LAYERS):
        return None
    index, part, rest = name.removeprefix(_LAYERS).split(".", 2)
    return f"{_PARTS[part]}{index}.{rest}"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

"""Checkpoint of a model: published, in our own safetensors layout, from the hub, or with random weights.

All three layouts are one folder: `config.json`, the weights (`checkpoint.pt` or `model.safetensors`), and the configs
and tokenizer that `config.json` names, as folders beside it or hub ids. Weights are mapped from disk, never unpickled,
and loading is strict: whatever does not fit is an error that names it. May be called from any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from model.about import About
from model.checkpoint.about_file import read_about
from model.checkpoint.checks import check_shapes, check_values
from model.checkpoint.config_files import decoder_geometry, read_checkpoint_keys, vision_geometry
from model.checkpoint.files import read_json_object, shown
from model.checkpoint.random_tensors import RandomTensors
from model.checkpoint.sources import (
    NAMED,
    TOKENIZER_FILES,
    WEIGHT_FILES,
    CheckpointError,
    fetch,
    folder_of,
    local_folder,
    named_folder,
    warn_of_unpinned,
)
from model.checkpoint.tokenizer_files import read_tokenizer
from model.checkpoint.weight_files import read_weights
from model.config import PheyeConfig, named_geometry
from model.layout import ADAPTER_RANKS, RANK_PROBE, adapters, tensor_shapes
from model.tokenizer import TextTokenizer

RANDOM = "random:"
TRAINED = "model"  # folder of a run into which training writes its model
CPU = torch.device("cpu")
_MANY_NUMBERS = 1 << 20  # of a tensor whose layer keeps a form of its own
_ALIASES = {  # the published files hold these tensors twice, sharing storage
    "lang_encoder.old_decoder_blocks.": ("lang_encoder.model.layers.", "decoder_layer."),
    "lang_encoder.cross_attn_layers.": ("lang_encoder.model.layers.", "cross_attn_layer."),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Checkpoint that is open for reading.

    Attributes:
        config: geometry.
        ranks: of the adapters.
        tensors: by canonical name (`model/layout.py`), read from disk when used.
        tokenizer: for texts.
        fingerprint: hash of names, shapes and a sample of the values.
        about: what it says of itself in words, if anything.
        file_stamp: size and time of the weight file; nothing for random weights.
    """

    config: PheyeConfig
    ranks: Mapping[str, int]
    tensors: Mapping[str, Tensor]
    tokenizer: TextTokenizer
    fingerprint: str
    about: About | None = None
    file_stamp: str = ""

    @property
    def identity(self) -> str:
        """The fingerprint, what it may miss (edits of a few values, by the file's stamp), and the geometry."""
        return f"{self.fingerprint} {self.file_stamp} {replace(self.config, name='')}"


def open_checkpoint(
    source: str,
    revision: str | None = None,
    device: torch.device = CPU,
    *,
    has_seen: Callable[[str], bool] | None = None,
) -> Checkpoint:
    """Open the checkpoint that `source` names: `random:<geometry>`, a folder, or a hub repository id.

    Args:
        source: what to open.
        revision: pins a hub repository, not those that its `config.json` names; of these a warning tells.
        device: where random weights are made; stored tensors are mapped from disk.
        has_seen: whether the checkpoint of an identity was opened before, and its large tensors are not read again;
            None, or if not: every value is looked at, for which 5 GB come from the disk.

    Raises:
        ConfigError, CheckpointError, TokenizerError: it cannot be served; the message says what to change.
    """
    if source.startswith(RANDOM):
        return random_checkpoint(random_config(source.removeprefix(RANDOM)), device)
    folder = folder_of(source, revision)
    warn_of_unpinned(source, folder, revision)
    config = _config(folder, source)
    about, tensors = read_about(folder), read_tensors(folder)
    ranks = _ranks(tensors, config)
    expected = tensor_shapes(config, ranks)
    check_shapes(tensors, expected)
    tokenizer = read_tokenizer(named_folder(folder, "tokenizer", TOKENIZER_FILES))
    if tokenizer.largest_id >= config.decoder.vocab_size:
        have = config.decoder.vocab_size
        raise CheckpointError(f"tokenizer: token {tokenizer.largest_id} is beyond the {have} that the decoder knows")
    opened = Checkpoint(config, ranks, tensors, tokenizer, _fingerprint(tensors), about, _file_stamp(folder))
    small = [name for name in expected if tensors[name].numel() < _MANY_NUMBERS]
    check_values(tensors, small if has_seen is not None and has_seen(opened.identity) else list(expected))
    return opened


def read_config(source: str, revision: str | None = None) -> PheyeConfig:
    """Read the configuration alone; of a hub repository only `config.json` is fetched.

    Raises:
        ConfigError, CheckpointError: as `open_checkpoint`.
    """
    if source.startswith(RANDOM):
        return random_config(source.removeprefix(RANDOM))
    folder = local_folder(source) or Path(fetch(source, revision, "config.json")).parent
    return _config(folder, source)


def open_tokenizer(source: str, revision: str | None = None) -> TextTokenizer:
    """Open the tokenizer alone; of a hub repository no weights are fetched.

    Raises:
        ConfigError, CheckpointError, TokenizerError: as `open_checkpoint`.
    """
    if source.startswith(RANDOM):
        config = random_config(source.removeprefix(RANDOM))
        return TextTokenizer.for_random_weights(config.decoder.vocab_size)
    folder = local_folder(source) or Path(fetch(source, revision, ["config.json", "tokenizer/*"]))
    return read_tokenizer(named_folder(folder, "tokenizer", TOKENIZER_FILES))


def stored_ranks(folder: Path, config: PheyeConfig) -> dict[str, int] | None:
    """Return the rank of each adapter as the weights in a folder have it; None where there are none.

    Raises:
        CheckpointError: the weights cannot be read, or have no such adapter.
    """
    return _ranks(read_tensors(folder), config) if any((folder / name).exists() for name in WEIGHT_FILES) else None


def random_config(geometry: str) -> PheyeConfig:
    """Return a named geometry under a name that says its answers are nonsense."""
    return replace(named_geometry(geometry), name=f"{geometry}-random-weights")


def random_checkpoint(config: PheyeConfig, device: torch.device = CPU) -> Checkpoint:
    """Return a checkpoint with random weights: every tensor is drawn from its own name, and stored nowhere.

    Made on a CPU it is the same on every machine; made on another device, where a full-size model takes seconds and not
    a minute, it is the same on every device of that kind, and has a fingerprint of its own.
    """
    ranks = {adapter: ADAPTER_RANKS[adapter] for adapter in adapters(config)}
    tokenizer = TextTokenizer.for_random_weights(config.decoder.vocab_size)
    tensors = RandomTensors(tensor_shapes(config, ranks), device)
    fingerprint = config.name if device.type == "cpu" else f"{config.name} by {device.type}"
    return Checkpoint(config, ranks, tensors, tokenizer, fingerprint)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read every tensor of a checkpoint folder by canonical name, mapped from disk."""
    path = _weight_file(folder)
    return _without_aliases(read_weights(path), path)


def _weight_file(folder: Path) -> Path:
    found = [folder / name for name in WEIGHT_FILES if (folder / name).exists()]
    if not found:
        raise CheckpointError(f"{folder}: there is neither {' nor '.join(WEIGHT_FILES)} in it")
    return found[0]


def _file_stamp(folder: Path) -> str:
    about = _weight_file(folder).stat()
    return f"{about.st_size} {about.st_mtime_ns}"


def _without_aliases(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    canonical = {}
    for name, tensor in tensors.items():
        twin = _twin(name)
        if twin is None:
            canonical[name] = tensor
        elif twin not in tensors:
            raise CheckpointError(f"{path}: {shown(name)} should repeat {shown(twin)}, which is missing")
        elif not _are_equal(tensor, tensors[twin]):
            raise CheckpointError(f"{path}: {shown(name)} should repeat {shown(twin)}, but they differ")
    return canonical


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same values; those stored once, as published, are not read for it."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return (one.data_ptr(), one.stride()) == (other.data_ptr(), other.stride()) or torch.equal(one, other)


def _twin(name: str) -> str | None:
    """Return the canonical name that a duplicate repeats; None for a canonical name."""
    for alias, (prefix, part) in _ALIASES.items():
        if name.startswith(alias):
            index, _, rest = name.removeprefix(alias).partition(".")
            return f"{prefix}{index}.{part}{rest}"
    return None


def _ranks(tensors: Mapping[str, Tensor], config: PheyeConfig) -> dict[str, int]:
    ranks = {}
    for adapter in adapters(config):
        probe = RANK_PROBE.format(adapter)
        if probe not in tensors:
            raise CheckpointError(f"tensor {probe} is missing")
        if tensors[probe].ndim != 2:
            raise CheckpointError(f"tensor {probe} has shape {tuple(tensors[probe].shape)}; expected two axes")
        ranks[adapter] = tensors[probe].shape[0]
    return ranks


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, shapes and a sample of every tensor: two models differ here, and 5 GB need not be read to see it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        sample = tensors[name].flatten()[:: max(1, tensors[name].numel() // 64)].float()
        digest.update(f"{name} {tuple(tensors[name].shape)} ".encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def _name(source: str) -> str:
    """Name a model by the last part of where it lies; by that of its run where training wrote it, `runs/mine/model`.

    >>> _name("miguelcarv/Pheye-x4-448"), _name("runs/mine/model/")
    ('Pheye-x4-448', 'mine')
    """
    above, _, last = source.rstrip("/").rpartition("/")
    return above.rpartition("/")[2] if last == TRAINED and above.strip("./") else last


def _config(folder: Path, source: str) -> PheyeConfig:
    keys = read_checkpoint_keys(folder / "config.json")
    geometry = {}
    for key in ("encoder", "decoder"):
        path = named_folder(folder, key, ["config.json"]) / "config.json"
        geometry[key] = (read_json_object(path), shown(path))
    plain = {key: value for key, value in keys.items() if key not in NAMED}
    return PheyeConfig(
        name=_name(source),
        vision=vision_geometry(*geometry["encoder"]),
        decoder=decoder_geometry(*geometry["decoder"]),
        **plain,
    )

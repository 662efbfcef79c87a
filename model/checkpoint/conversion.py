"""Conversion of any checkpoint into one safetensors folder that needs nothing else. May be called from any thread."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from glob import escape
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from model.checkpoint.about_file import read_about
from model.checkpoint.checkpoint import open_checkpoint, read_tensors
from model.checkpoint.files import check_file, read_json_object
from model.checkpoint.sources import (
    ABOUT,
    NAMED,
    RECORD,
    TOKENIZER_FILES,
    WEIGHT_FILES,
    CheckpointError,
    fetch,
    folder_of,
    local_folder,
    named_folder,
)
from model.whole_files import appearing_whole


def convert(source: str, target: Path, revision: str | None = None) -> None:
    """Write any checkpoint as a self-contained safetensors folder: nothing in it is fetched or unpickled again.

    Raises:
        CheckpointError: the target exists, or the source cannot be opened.
        OSError: it cannot be written; nothing is left of it.
    """
    if target.exists():
        raise CheckpointError(f"{target}: exists already; choose a new folder")
    folder = folder_of(source, revision)
    open_checkpoint(str(folder))
    if local_folder(source) is None:
        _fetch_samples(source, revision, folder)
    with appearing_whole(target) as partial:
        _write_converted(folder, partial)


def _fetch_samples(source: str, revision: str | None, folder: Path) -> None:
    """Fetch the pictures that `about.json` of a model of the hub names: serving it needs none of them."""
    about = read_about(folder)
    if about is not None and about.samples:
        fetch(source, revision, [escape(sample.file) for sample in about.samples])


def _write_converted(folder: Path, target: Path) -> None:
    keys = read_json_object(folder / "config.json")
    for key in NAMED:
        files = TOKENIZER_FILES if key == "tokenizer" else ["config.json"]
        named = named_folder(folder, key, files)
        (target / key).mkdir()
        for file in (named / name for name in files if (named / name).exists()):
            shutil.copyfile(check_file(file), target / key / file.name)
        keys[key] = key
    _copy_about(folder, target)
    if (folder / RECORD).exists():
        shutil.copyfile(check_file(folder / RECORD), target / RECORD)
    save_file(_stored_apart(read_tensors(folder)), target / WEIGHT_FILES[0])
    (target / WEIGHT_FILES[0]).chmod(0o644)  # safetensors lets its owner alone read it; a service may be another
    (target / "config.json").write_text(json.dumps(keys, indent=2) + "\n", encoding="utf-8")


def _stored_apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy those that lie where another one does, as a pickle may have them: safetensors refuses to write these."""
    apart, end = {}, 0
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    for name, tensor in sorted(whole.items(), key=lambda each: each[1].data_ptr()):
        apart[name] = tensor.clone() if tensor.data_ptr() < end else tensor
        end = max(end, tensor.data_ptr() + tensor.nbytes)
    return apart


def _copy_about(folder: Path, target: Path) -> None:
    about = read_about(folder)
    for name in [] if about is None else [ABOUT, *(sample.file for sample in about.samples)]:
        shutil.copyfile(check_file(folder / name), target / name)

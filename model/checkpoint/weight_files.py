"""Weight files, checked before and while they are read: nothing is unpickled that is not a plain state dict.

A stranger may have made them. What is read is bounded by the file's own size: a header or a pickle of a few bytes
cannot ask for more. Tensors are mapped from disk. May be called from any thread.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from model.checkpoint.files import check_file, shown
from model.checkpoint.sources import CheckpointError

_MAX_HEADER_BYTES = 8 << 20  # of a safetensors file; a model of 1,000 tensors has 0.2 MB
_MAX_PICKLE_BYTES = 2 << 20  # in a .pt; a model of 1,000 tensors has 0.3 MB
_POINTER = b"version https://git-lfs.github.com/spec/"  # what a clone without git-lfs has in place of a file
# All that a state dict's pickle names. `torch.load(weights_only=True)` allows more, such as `bytearray(10**12)`.
_NAMED_IN_PICKLES = re.compile(
    r"collections OrderedDict|torch (?!Untyped)\w+Storage|torch\._utils _rebuild_(tensor_v2|parameter)"
)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read every tensor of a weight file under the name it has there.

    Raises:
        CheckpointError: it cannot be read safely, or holds something else than plain tensors.
        CheckpointFileError: it is no regular file of its folder.
    """
    check_file(path)
    _check_pulled(path)
    try:
        tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a parser meets in a stranger's file
        raise CheckpointError(f"{path}: not a checkpoint that can be read safely: {shown(error)}") from None
    if not isinstance(tensors, dict) or not all(map(_is_plain, tensors.items())):
        raise CheckpointError(f"{path}: not a plain state dict of tensors")
    return {name: tensor.detach() for name, tensor in tensors.items()}  # a file may ask for gradients


def _check_pulled(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(f"{path}: a pointer of git-lfs, not the weights; fetch them with `git lfs pull`")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
        raise ValueError(f"its header claims to have {header_bytes} bytes")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def _read_pickle(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed; PyTorch stores its files as they are")
        [pickle] = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if pickle.file_size > _MAX_PICKLE_BYTES:
            raise ValueError(f"{pickle.file_size} bytes of pickle are too many")
        for operation, argument, _ in pickletools.genops(archive.read(pickle)):
            if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                raise ValueError(f"its pickle has a {operation.name}, which no state dict needs")
            if operation.name == "GLOBAL" and not _NAMED_IN_PICKLES.fullmatch(str(argument)):
                raise ValueError(f"its pickle names {str(argument).replace(' ', '.')}, which no state dict needs")
    return torch.load(path, map_location="cpu", mmap=True, weights_only=True)


def _is_plain(item: tuple[Any, Any]) -> bool:
    """Return whether this is a name and a tensor that is stored whole; one stretched out of few bytes is not."""
    name, tensor = item
    if not isinstance(name, str) or not isinstance(tensor, Tensor):
        return False
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def is_finite(tensor: Tensor) -> bool:
    """Return whether no value is NaN or infinite, in one pass over the memory."""
    if not tensor.numel() or not tensor.is_floating_point():
        return True
    least, most = tensor.aminmax()
    return bool(torch.isfinite(least) & torch.isfinite(most))

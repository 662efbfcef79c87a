"""Choice of the device and the number format this machine should compute in, with the reason.

Pure questions to torch and the operating system; any thread may ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.config import PheyeConfig
from model.machine.processor import processor_multiplies_bf16
from model.network.compiled.compilation import available
from model.network.compiled_decoder import fits


@dataclass(frozen=True, slots=True)
class Precision:
    """Number format to compute in, and the reason in words.

    With `bits` of 8, weights of linear layers are rounded to int8, and so are their inputs; with 4, those of the
    decoder's are rounded to int4, in groups.
    """

    dtype: torch.dtype
    reason: str
    bits: int = 0

    @property
    def image_dtype(self) -> torch.dtype:
        """Dtype of features of images, and of keys and values made of them; what int8 made is not worth float32."""
        return torch.bfloat16 if self.bits else self.dtype

    @property
    def name(self) -> str:
        """Name of the number format: `float32`, `bfloat16`, `int8` or `int4`."""
        return f"int{self.bits}" if self.bits else str(self.dtype).removeprefix("torch.")


def resolve_device(asked: str) -> torch.device:
    """Return the device; `auto` is the first CUDA device if there is one, else the CPU.

    Raises:
        ValueError: no such device here.
    """
    if asked == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ValueError(f"devices: {asked!r} is not a device; write cpu or cuda:0") from None
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(f"devices: {asked} is not there; torch sees {count} CUDA devices: choose another, or cpu")
    return device


def choose_precision(asked: str, device: torch.device, config: PheyeConfig) -> Precision:
    """Choose bfloat16 where it is fast and the checkpoint is not float32 on purpose, else float32.

    Args:
        asked: `auto`, `float32`, `bfloat16`, `int8` or `int4`.
        device: where the model will compute.
        config: the checkpoint; one stored in float32 is computed in float32, so that nothing of it is lost.

    Raises:
        ValueError: int8 or int4 on a device that has no such product here.
    """
    if asked in ("int8", "int4"):
        if device.type != "cpu" or "onednn" not in torch.backends.quantized.supported_engines:
            raise ValueError(
                f"dtype: {asked} is offered on CPUs with oneDNN, not on this {device.type}; choose bfloat16"
            )
        return _rounded(asked, config)
    if asked != "auto":
        return Precision(getattr(torch, asked), "asked for")
    if config.encoder_dtype == config.decoder_dtype == "float32":
        return Precision(torch.float32, "the checkpoint is stored in float32")
    if multiplies_bf16(device):
        return Precision(torch.bfloat16, f"{device.type} multiplies bfloat16 in hardware")
    return Precision(torch.float32, f"this {device.type} has no bfloat16 multiplication; float32 is faster here")


def _rounded(asked: str, config: PheyeConfig) -> Precision:
    """Return int8 or int4, and who computes its decode steps."""
    if available.usable():
        what = "decode steps" if fits(config) else "linear layers of decode steps, whose widths are unusual,"
        return Precision(torch.float32, f"asked for; {what} are compiled by numba", bits=int(asked[3:]))
    install = f"{available.INSTALL} compiles them"
    if asked == "int4":
        raise ValueError(f"dtype: int4 has no other kernels than those that numba compiles: {available.INSTALL}")
    return Precision(torch.float32, f"asked for; torch computes the decode steps, which is slower: {install}", bits=8)


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 matrix instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return processor_multiplies_bf16()


def memory_budget(device: torch.device, share: float) -> int | None:
    """Return the bytes of a GPU's memory that may be used: a share of all of it, or what others left if less.

    A CPU's memory has no such bound: None.

    Args:
        device: where the model will compute.
        share: above 0 up to 1.
    """
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return min(int(share * total), free)


def device_uuid(device: torch.device) -> str | None:
    """Return the GPU's UUID, its name outside of torch whatever `CUDA_VISIBLE_DEVICES` says; None for a CPU."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else None


def gpus() -> list[str]:
    """List the GPUs that torch sees, or say why there is none."""
    if torch.version.cuda is None and torch.version.hip is None:
        return [f"none: this torch {torch.__version__} is built without CUDA"]
    if not torch.cuda.is_available():
        return ["none: torch finds no driver and card that it can use (`nvidia-smi` shows what the driver finds)"]
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name, (major, minor) = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
        found.append(f"cuda:{index}: {name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free, capability {major}.{minor}")
    return found

"""Loading of a model by its name into a warmed-up `ModelRunner`, the one function a process calls to have a model.

Sets torch's thread count, which belongs to the whole process. Call it once, before anything else uses torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.config import PheyeConfig
from model.machine.cores import compute_threads, lone_threads
from model.network.layers import made_anew
from model.runtime.features.feature_folder import FeatureFolder
from model.runtime.hardware import Precision, choose_precision, memory_budget, resolve_device
from model.runtime.memory_plan import MemoryDemand, MemoryPlan, MemoryPlanError, plan_memory
from model.runtime.prepared_weights import PreparedWeights
from model.runtime.runner import ModelRunner

_DEMAND = MemoryDemand(context_tokens=1024)


@dataclass(frozen=True, slots=True)
class KeptFolders:
    """Folders of what outlives the process; None for nowhere.

    Attributes:
        features: of image features.
        features_bytes: what their files may add up to.
        weights: of rounded weights, for the next start.
    """

    features: Path | None = None
    features_bytes: int = 10 << 30
    weights: Path | None = None


_NOWHERE = KeptFolders()


def load_runner(
    source: str,
    *,
    revision: str | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    workers: int = 1,
    demand: MemoryDemand = _DEMAND,
    folders: KeptFolders = _NOWHERE,
    gpu_memory_share: float = 0.9,
) -> ModelRunner:
    """Open, load and warm up a model.

    Args:
        source: `random:<geometry>`, a checkpoint folder or a hub repository id.
        revision: commit, tag or branch of the hub repository.
        name: what answers call the model; by default the last part of `source`.
        device: `auto`, `cpu`, `cuda:0`.
        dtype: `auto`, `float32`, `bfloat16`, `int8` or `int4` (linear layers, on CPUs with oneDNN).
        threads: CPU threads for one operation; 0 takes as many as pay.
        workers: processes that share the cores.
        demand: slots, context and caches that must find room.
        folders: where image features and rounded weights outlive the process.
        gpu_memory_share: share of a GPU's memory that may be used, above 0 up to 1; a CPU's is not planned.

    Raises:
        ValueError: the model cannot be served like this; the message says what to change.
    """
    where = resolve_device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)  # Triton launches on the current device
    budget = memory_budget(where, gpu_memory_share)  # before anything is there
    checkpoint = _open(source, revision, where, name, folders.weights)
    torch.set_num_threads(threads or compute_threads(checkpoint.config, workers))
    precision = choose_precision(dtype, where, checkpoint.config)
    features = _open_features(folders, checkpoint.config, precision, where)
    weights = _open_weights(folders.weights, checkpoint, precision)
    plan = plan_memory(checkpoint.config, precision.name, demand, budget)
    lone = 1 if threads else lone_threads(checkpoint.config)
    runner = _warmed_up(checkpoint, where, precision, plan, demand.context_tokens, lone, features, weights)
    if weights is not None:
        weights.keep()
    return runner


def _open(
    source: str, revision: str | None, device: torch.device, name: str | None, weights: Path | None
) -> Checkpoint:
    """Open the checkpoint, and call the model by the name given; kept weights tell whether it was loaded before."""
    has_seen = partial(PreparedWeights.has_seen, weights) if weights else None
    checkpoint = open_checkpoint(source, revision, device, has_seen=has_seen)
    return checkpoint if name is None else replace(checkpoint, config=replace(checkpoint.config, name=name))


def _open_features(
    folders: KeptFolders, config: PheyeConfig, precision: Precision, device: torch.device
) -> FeatureFolder | None:
    if folders.features is None:
        return None
    shape = (config.tiles, config.vision.tokens_per_tile, config.vision.width)
    number_format = f"{precision.name} {device.type}"
    return FeatureFolder(folders.features, folders.features_bytes, number_format, shape, precision.image_dtype)


def _open_weights(folder: Path | None, checkpoint: Checkpoint, precision: Precision) -> PreparedWeights | None:
    """Open the folder of rounded weights, which a precision without any has no use for."""
    return PreparedWeights(folder, checkpoint.identity, precision.name) if folder and precision.bits else None


def _warmed_up(
    checkpoint: Checkpoint,
    device: torch.device,
    precision: Precision,
    plan: MemoryPlan,
    context_tokens: int,
    lone: int,
    features: FeatureFolder | None,
    weights: PreparedWeights | None,
) -> ModelRunner:
    """Make a runner as it was planned, and run every kind of step once.

    Raises:
        MemoryPlanError: memory ran out, whatever the plan says.
    """
    try:
        runner = ModelRunner(
            checkpoint,
            device,
            precision,
            slots=plan.slots,
            context_tokens=context_tokens,
            feature_cache_bytes=plan.feature_cache_bytes,
            feature_folder=features,
            memory=plan.parts,
            lone_threads=lone,
            prepare=weights or made_anew,
        )
        runner.warm_up()
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise MemoryPlanError(f"gpu_memory_share: memory ran out while loading; use fewer slots: {reason}") from None
    return runner

"""Loading of a model by its name into a warmed-up `ModelRunner`, the one function a process calls to have a model.

Sets torch's thread count, which belongs to the whole process. Call it once, before anything else uses torch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from model.checkpoint.checkpoint import open_checkpoint
from model.config import PheyeConfig
from model.cores import compute_threads, lone_threads
from model.network.layers import made_anew
from model.runtime.feature_folder import FeatureFolder
from model.runtime.hardware import Precision, choose_precision, memory_budget, resolve_device
from model.runtime.memory_plan import MemoryDemand, MemoryPlanError, plan_memory
from model.runtime.prepared_weights import PreparedWeights
from model.runtime.runner import ModelRunner

_DEMAND = MemoryDemand(context_tokens=1024)


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
    feature_folder: Path | None = None,
    feature_folder_bytes: int = 10 << 30,
    prepared_weights_folder: Path | None = None,
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
        feature_folder: where image features outlive the process; None for nowhere.
        feature_folder_bytes: what its files may add up to.
        prepared_weights_folder: where rounded weights are kept for the next start; None for nowhere.
        gpu_memory_share: share of a GPU's memory that may be used, above 0 up to 1; a CPU's is not planned.

    Raises:
        ValueError: the model cannot be served like this; the message says what to change.
    """
    where = resolve_device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)  # Triton launches on the current device
    budget = memory_budget(where, gpu_memory_share)  # before anything is there
    seen = partial(PreparedWeights.has_seen, prepared_weights_folder) if prepared_weights_folder else None
    checkpoint = open_checkpoint(source, revision, where, has_seen=seen)
    torch.set_num_threads(threads or compute_threads(checkpoint.config, workers))
    if name is not None:
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, name=name))
    precision = choose_precision(dtype, where, checkpoint.config)
    kept = _open_folder(feature_folder, feature_folder_bytes, checkpoint.config, precision, where)
    prepared: PreparedWeights | None = None
    if prepared_weights_folder is not None and precision.bits:
        prepared = PreparedWeights(prepared_weights_folder, checkpoint.identity, precision.name)
    plan = plan_memory(checkpoint.config, precision.name, demand, budget)
    try:
        runner = ModelRunner(
            checkpoint,
            where,
            precision,
            slots=plan.slots,
            context_tokens=demand.context_tokens,
            feature_cache_bytes=plan.feature_cache_bytes,
            feature_folder=kept,
            memory=plan.parts,
            lone_threads=1 if threads else lone_threads(checkpoint.config),
            prepare=prepared or made_anew,
        )
        runner.warm_up()
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise MemoryPlanError(f"gpu_memory_share: memory ran out while loading; use fewer slots: {reason}") from None
    if prepared is not None:
        prepared.keep()
    return runner


def _open_folder(
    folder: Path | None, limit_bytes: int, config: PheyeConfig, precision: Precision, device: torch.device
) -> FeatureFolder | None:
    if folder is None:
        return None
    shape = (config.tiles, config.vision.tokens_per_tile, config.vision.width)
    return FeatureFolder(folder, limit_bytes, f"{precision.name} {device.type}", shape, precision.image_dtype)

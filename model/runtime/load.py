"""From a name to a warmed-up `ModelRunner`: the one function a process calls to have a model.

Sets torch's thread count, which belongs to the whole process. Call it once, before anything else uses torch.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from model.checkpoint.checkpoint import open_checkpoint
from model.runtime.hardware import choose_precision, compute_threads, resolve_device
from model.runtime.runner import ModelRunner


def load_runner(
    source: str,
    *,
    revision: str | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    workers: int = 1,
    slots: int = 8,
    context_tokens: int = 1024,
    feature_cache_bytes: int = 1 << 30,
) -> ModelRunner:
    """Open, load and warm up a model.

    Args:
        source: `random:<geometry>`, a checkpoint folder or a hub repository id.
        revision: commit, tag or branch of the hub repository.
        name: what answers call the model; by default the last part of `source`.
        device: `auto`, `cpu`, `cuda:0`.
        dtype: `auto`, `float32`, `bfloat16`.
        threads: CPU threads for one operation; 0 takes as many as pay.
        workers: processes that share the cores.
        slots: rows that can run at once.
        context_tokens: prompt and answer of a row together.
        feature_cache_bytes: bound of the feature cache.

    Raises:
        ValueError: the model cannot be served like this; the message says what to change.
    """
    where = resolve_device(device)
    checkpoint = open_checkpoint(source, revision, where)
    torch.set_num_threads(threads or compute_threads(checkpoint.config, workers))
    if name is not None:
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, name=name))
    precision = choose_precision(dtype, where, checkpoint.config)
    runner = ModelRunner(
        checkpoint,
        where,
        precision,
        slots=slots,
        context_tokens=context_tokens,
        feature_cache_bytes=feature_cache_bytes,
    )
    runner.warm_up()
    return runner

"""Linear layers of a decode step, timed by our kernel and by the library, to choose the kernel's tiles.

Weights alternate between copies that together do not fit the GPU's cache, as those of a step's many layers do not.
Needs Triton and a CUDA device. One thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from model.bench.gpu.item import Data, Item, NotAvailable, PartInput
from model.network.decode.attention import available
from model.network.kernels.skinny import skinny, skinny_parts
from model.runtime.hardware import resolve_device

ROWS = (1, 16, 64)
SHAPES = {  # of Phi 1.5 and its cross-attention: outputs, inputs, the activation that follows
    "queries, keys, values and inner half": (14336, 2048, "gelu_new"),
    "output of attention and feed-forward": (2048, 10240, None),
    "queries of cross-attention": (2048, 2048, None),
    "inner half behind cross-attention": (8192, 2048, "gelu"),
    "output behind cross-attention": (2048, 8192, None),
    "language model's head": (51200, 2048, None),
}
_COPIES_BYTES = 250_000_000
_CALLS, _REPEATS = 12, 3


def items(given: PartInput) -> Iterator[Item]:
    """List every shape at every number of rows."""
    device = resolve_device(given.device)
    for rows in ROWS:
        for name in SHAPES:
            yield Item(f"{name}, {rows}", partial(product, device, name, rows), 30.0)


@torch.inference_mode()
def product(device: torch.device, name: str, rows: int) -> Data:
    """Time one layer; for few outputs also the form that splits the inputs and leaves the sum to the next kernel.

    Raises:
        NotAvailable: the kernels do not run here.
    """
    if device.type != "cuda" or not available(device):
        raise NotAvailable("needs Triton and a CUDA device")
    outputs, inputs, activation = SHAPES[name]
    random = partial(torch.randn, device=device, dtype=torch.bfloat16)
    size_bytes = 2 * outputs * inputs
    weights = [random(outputs, inputs) * inputs**-0.5 for _ in range(max(2, _COPIES_BYTES // size_bytes))]
    x, bias = random(rows, inputs), random(outputs)
    forms: dict[str, Callable[[Tensor], object]] = {
        "library": lambda weight: F.linear(x, weight, bias),
        "own": lambda weight: skinny(x, weight, bias, activation=activation),
    }
    if outputs <= inputs:
        forms["own, split"] = lambda weight: skinny_parts(x, weight)
    times_s = {form: _timed(call, weights) for form, call in forms.items()}
    return {
        "rows": rows,
        "outputs": outputs,
        "inputs": inputs,
        "weight_bytes": size_bytes,
        "microseconds": {form: 1e6 * seconds for form, seconds in times_s.items()},
        "bytes_per_s": {form: size_bytes / seconds for form, seconds in times_s.items()},
    }


def _timed(call: Callable[[Tensor], object], weights: Sequence[Tensor]) -> float:
    """Return the seconds of one call: the best of a few replays of a graph of several calls."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        call(weights[0])
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for number in range(_CALLS):
            call(weights[number % len(weights)])
    best_ms = float("inf")
    for _ in range(_REPEATS):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begun.record()
        graph.replay()
        ended.record()
        torch.cuda.synchronize()
        best_ms = min(best_ms, begun.elapsed_time(ended))
    return best_ms / _CALLS / 1e3

"""The runner's switches, as checks and timings ask for them: the one place that knows their names.

A runner that has no such switch runs eagerly over projected keys and values; asked for anything else, it is not
available. One thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import torch

from model.bench.gpu.item import NotAvailable
from model.checkpoint.checkpoint import Checkpoint
from model.runtime.hardware import Precision
from model.runtime.runner import ModelRunner

Attention = Literal["projected", "absorbed"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to decode.

    Attributes:
        graphs: whether steps are recorded once and replayed (CUDA graphs).
        attention: whether an image's keys and values are kept, or queries meet its features.
    """

    graphs: bool
    attention: Attention

    @property
    def name(self) -> str:
        """In words.

        >>> Variant(graphs=True, attention="absorbed").name
        'graphs, absorbed'
        """
        return f"{'graphs' if self.graphs else 'eager'}, {self.attention}"


EAGER = Variant(graphs=False, attention="projected")
VARIANTS = (
    Variant(graphs=True, attention="projected"),
    Variant(graphs=True, attention="absorbed"),
    EAGER,
    Variant(graphs=False, attention="absorbed"),
)


def new_runner(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, variant: Variant, **sizes: int
) -> ModelRunner:
    """A warmed-up runner of this variant; `sizes` are the runner's own.

    Raises:
        NotAvailable: the runner has no such switch.
    """
    known, switches = signature(ModelRunner.__init__).parameters, dict[str, Any]()
    for name, wanted, usual in (("graphs", variant.graphs, False), ("attention", variant.attention, "projected")):
        if name in known:
            switches[name] = wanted
        elif wanted != usual:
            raise NotAvailable(f"the runner has no switch {name!r}")
    runner = ModelRunner(checkpoint, device, Precision(dtype, "measured"), **sizes, **switches)
    runner.warm_up()
    return runner

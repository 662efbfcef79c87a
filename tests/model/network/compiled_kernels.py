"""Every kernel variant that a step of the small models launches, compiled for a Hopper GPU; nothing is launched.

Triton's interpreter runs kernels without their types, so that it cannot see what only the compiler refuses. Run by
`test_kernels_interpreted.py` in a process of its own, because it takes Triton's driver away.
"""

from __future__ import annotations

import pytest
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from model.checkpoint.checkpoint import open_checkpoint
from model.network import fused, linear
from model.network.decode import attention as decode_attention
from model.network.decode import linear as step_linear
from model.network.kernels import early
from model.runtime.hardware import Precision
from model.runtime.runner import ModelRunner
from model.runtime.sampling import kernels as sampling_kernels
from tests.support.golden import OWN_GOLDEN, noise_image

MICRO = "random:pheye-micro"
HOPPER = GPUTarget("cuda", 90, 32)


class NoGpu:
    """A driver that knows a GPU's properties and has none."""

    launcher_cls = None

    class utils:
        load_binary = None

        @staticmethod
        def get_device_properties(_):
            return {"max_shared_mem": 232_448, "max_num_regs": 65_536, "multiprocessor_count": 132, "warpSize": 32}

    def get_current_target(self):
        return HOPPER

    def get_current_device(self):
        return 0

    def get_current_stream(self, _):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Names of the kernels that were compiled."""
    names, run = set(), JITFunction.run

    def compile_only(self, *args, grid, warmup, **kwargs):
        names.add(self.fn.__name__)
        return run(self, *args, grid=grid, warmup=True, **kwargs)

    driver.set_active(NoGpu())
    monkeypatch.setattr(JITFunction, "run", compile_only)
    monkeypatch.setattr(early, "_launch_options", lambda _: (("EARLY", True), ("launch_pdl", True)))
    for module in (decode_attention, step_linear, fused, sampling_kernels):
        monkeypatch.setattr(module, "available", lambda _: True)
    monkeypatch.setattr(decode_attention, "_processors", lambda _: 132)
    monkeypatch.setattr(linear, "packs", lambda *_: False)
    return names


@pytest.mark.parametrize(
    ("source", "absorbed"),
    [
        pytest.param(str(OWN_GOLDEN / "x2-l2"), False, id="kept keys and values"),
        pytest.param(MICRO, True, id="absorbed"),
    ],
)
def test_every_kernel_of_a_step_compiles(source, absorbed, compiled):
    checkpoint, cpu = open_checkpoint(source), torch.device("cpu")
    sizes = {"slots": 20, "context_tokens": 64, "feature_cache_bytes": 0}
    runner = ModelRunner(
        checkpoint, cpu, Precision(torch.bfloat16, "tested"), steps="fixed", absorbed=absorbed, **sizes
    )
    steps = runner._steps
    with torch.inference_mode():
        for bucket in (steps._buckets[0], steps._buckets[-1]):
            for sampled in (False, True):
                steps._state.token.zero_()  # whatever the last step left there is no token: its kernels did not run
                steps._step(bucket, sampled)
        runner._encoder.encode([noise_image(checkpoint).tiles], range(checkpoint.config.tiles))
    kernels = {"_attend", "_skinny", "_finish", "_rotate_and_append", "_draw", "_settle", "_activate", "_add_norm"}
    assert kernels <= compiled

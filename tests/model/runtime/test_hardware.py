"""Devices and number formats: what is chosen, and the reason given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from model.config import GEOMETRIES
from model.network.compiled.compilation import available
from model.runtime import hardware
from model.runtime.hardware import (
    choose_precision,
    device_uuid,
    memory_budget,
    multiplies_bf16,
    resolve_device,
)

CPU = torch.device("cpu")
PUBLISHED = GEOMETRIES["Pheye-x4-448"]
FP32 = replace(PUBLISHED, encoder_dtype="float32", decoder_dtype="float32")


@pytest.mark.parametrize(
    ("asked", "config", "fast", "dtype", "reason"),
    [
        ("auto", PUBLISHED, True, torch.bfloat16, "multiplies bfloat16 in hardware"),
        ("auto", PUBLISHED, False, torch.float32, "no bfloat16 multiplication"),
        ("auto", FP32, True, torch.float32, "stored in float32"),
        ("bfloat16", FP32, False, torch.bfloat16, "asked for"),
        ("float32", PUBLISHED, True, torch.float32, "asked for"),
    ],
    ids=["fast bf16", "no bf16", "float32 checkpoint", "asked for bf16", "asked for float32"],
)
def test_the_number_format_follows_the_hardware_and_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, asked, config, fast, dtype, reason
) -> None:
    monkeypatch.setattr(hardware, "multiplies_bf16", lambda _: fast)
    precision = choose_precision(asked, CPU, config)
    assert precision.dtype is dtype
    assert reason in precision.reason


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 sve\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("nothing of the kind", False),
    ],
    ids=["avx512", "amx", "arm", "avx512 without bf16", "unknown"],
)
def test_bfloat16_instructions_are_read_from_the_processors_flags(
    monkeypatch: pytest.MonkeyPatch, cpuinfo: str, fast: bool
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: cpuinfo)
    assert multiplies_bf16(CPU) is fast


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "exact"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni\n", True),
        ("x86_64", "flags\t\t: fpu avx2 avx512f\n", False),
        ("x86_64", "nothing of the kind", False),
        ("aarch64", "Features\t: fp asimd\n", True),
    ],
)
def test_layers_and_the_estimate_of_memory_ask_one_question_about_int8(
    monkeypatch: pytest.MonkeyPatch, machine: str, cpuinfo: str, exact: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: cpuinfo)
    monkeypatch.setattr(available, "multiplies_bytes", available.multiplies_bytes.__wrapped__)
    for here in (True, False):
        monkeypatch.setattr(available, "installed", lambda here=here: here)
        assert available.keeps_second_form(GEOMETRIES["Pheye-x4-448"], "int8") == (here and exact)
        assert available.keeps_second_form(GEOMETRIES["pheye-tiny"], "float32") == here
        assert not available.keeps_second_form(GEOMETRIES["Pheye-x4-448"], "float32")
    assert available.multiplies_bytes() == exact


def test_auto_is_a_device_of_this_machine() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("asked", "message"), [("cuda:97", "cuda:97 is not there"), ("toaster", "'toaster' is not a device")]
)
def test_a_device_that_is_not_here_is_refused_by_name(asked: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_device(asked)


@pytest.mark.parametrize(
    ("share", "free", "budget"), [(0.9, 79, 72), (0.5, 79, 40), (0.9, 50, 50)], ids=["all", "half", "others are there"]
)
def test_a_gpus_budget_is_a_share_of_all_its_memory_or_what_others_left(
    monkeypatch: pytest.MonkeyPatch, share: float, free: int, budget: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free << 30, 80 << 30))
    assert memory_budget(torch.device("cuda:0"), share) == budget << 30
    assert memory_budget(torch.device("cpu"), share) is None


def test_a_gpu_is_named_by_its_uuid_as_nvidias_tools_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = "8a6ad0d2-9d4c-4d62-9d5c-5c1f0c1e8a11"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=uuid))
    assert device_uuid(torch.device("cuda:0")) == f"GPU-{uuid}"
    assert device_uuid(torch.device("cpu")) is None


@pytest.mark.parametrize("asked", ["int8", "int4"])
def test_int8_and_int4_are_for_cpus_and_say_who_computes_their_steps(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GEOMETRIES["pheye-micro"]
    with pytest.raises(ValueError, match=f"dtype: {asked} is offered on CPUs"):
        choose_precision(asked, torch.device("cuda"), config)
    monkeypatch.setattr(hardware.available, "usable", lambda: True)
    chosen = choose_precision(asked, torch.device("cpu"), config)
    assert (chosen.name, chosen.image_dtype) == (asked, torch.bfloat16)
    assert chosen.reason == "asked for; decode steps are compiled by numba"
    odd = replace(config, decoder=replace(config.decoder, heads=2 * config.decoder.width // 32))  # 16 channels
    assert "linear layers" in choose_precision(asked, torch.device("cpu"), odd).reason
    monkeypatch.setattr(hardware.available, "usable", lambda: False)
    if asked == "int4":
        with pytest.raises(ValueError, match=r"int4 .*pheye-service\[cpu\]"):
            choose_precision(asked, torch.device("cpu"), config)
    else:
        assert "slower" in choose_precision(asked, torch.device("cpu"), config).reason

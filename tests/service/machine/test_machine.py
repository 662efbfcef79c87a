"""The estimates and the probes behind `pheye info` and `pheye doctor`."""

from __future__ import annotations

import os
import re
import socket
from threading import Event, Thread
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from typer.testing import CliRunner

from model.bench.roofline import quick_rates as quick
from model.bench.roofline.quick_rates import QuickRates, quick_rates
from model.config import named_geometry
from model.runtime import hardware
from service.cli.main import app
from service.configuration.settings import Settings
from service.machine import compute, surroundings
from service.machine.doctor import block
from service.machine.expected import expected_times
from service.machine.finding import Finding, run_probes
from service.machine.listener import listener_of
from service.machine.memory import need, parts
from service.worker.load import load_runner


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("PHEYE_")]:
        monkeypatch.delenv(name)


def test_rates_are_measured_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_READ_SHAPE", (64, 64))
    monkeypatch.setattr(quick, "_PRODUCT", (8, 8, 8))
    rates = quick_rates()
    assert rates.bytes_per_s > 0
    assert rates.flops_per_s > 0
    assert rates.took_s > 0


def test_the_estimate_is_near_what_was_measured_on_a_machine_of_these_rates() -> None:
    """docs/performance.md: 7.1 s and 1.8 s, encoding at 84 % of 463 GFLOP/s and decoding at 41 to 76 GB/s."""
    times = expected_times(named_geometry("Pheye-x4-448"), "float32", QuickRates(60e9, 463e9, 0.0))
    assert 7.1 / 1.5 < times.caption_s < 7.1 * 1.5
    assert 1.8 / 1.5 < times.answer_s < 1.8 * 1.5


def test_memory_follows_the_settings() -> None:
    config = named_geometry("Pheye-x4-448")
    usual, frugal = (need(parts(config, "bfloat16", settings)) for settings in (None, Settings(slots=1, decoders=1)))
    assert frugal.at_start_mb < usual.at_start_mb < usual.at_most_mb
    two, int8 = need(parts(config, "bfloat16", Settings(devices="cpu,cpu"))), need(parts(config, "int8"))
    assert two.at_start_mb > 1.8 * usual.at_start_mb
    assert int8.at_start_mb < need(parts(config, "float32")).at_start_mb


def test_a_probe_that_hangs_and_one_that_fails_are_a_line_each() -> None:
    def fails() -> Any:
        raise OSError("no such thing\nmore")

    over = Event()
    probes: Any = {"a": lambda: [Finding("a", ("fine",))], "b": over.wait, "c": fails}
    found = run_probes(probes, timeout_s=0.2)
    over.set()
    assert [(each.topic, each.lines[0]) for each in found] == [
        ("a", "fine"),
        ("b", "not known: no answer within 0.2 s"),
        ("c", "not known: OSError: no such thing"),
    ]


def test_a_probe_without_a_thread_is_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    [found] = run_probes({"a": lambda: [Finding("a", ("fine",))]}, timeout_s=60.0)
    assert found == Finding("a", ("not known: RuntimeError: can't start new thread",))


def test_a_taken_port_is_told_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert f"process {os.getpid()}" in str(listener_of(number))
        settings = Settings(port=number)
        surroundings_asked = surroundings.ASK_S
        surroundings.ASK_S = 0.05
        try:
            [finding] = surroundings.port(settings, None)
            assert f"process {os.getpid()}; stop it, or choose another port: --port" in finding.faults[0]
            [asked] = surroundings.port(settings, f"http://localhost:{number}")
        finally:
            surroundings.ASK_S = surroundings_asked
        assert asked.faults == ()
    assert surroundings.port(settings, None)[0].faults == ()


def test_a_model_that_does_not_fit_is_a_fault_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "available_mb", lambda: 700.0)
    compute_finding, memory, gpu = compute.compute(Settings(devices="cpu"))
    assert "cpu is cpu: float32, because the checkpoint is stored in float32" in compute_finding.lines[1]
    assert "927 MB once ready" in memory.lines[0]
    assert "does not fit into memory" in memory.faults[0]
    assert gpu.topic == "GPU"
    [absent] = compute.model(Settings(model="pheye-tinny"))
    assert "did you mean pheye-tiny?" in absent.faults[0]


def test_workers_on_gpus_do_not_count_in_the_memory_of_those_on_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "resolve_device", torch.device)
    monkeypatch.setattr(hardware, "memory_budget", lambda _, share: int(share * 80e9))
    monkeypatch.setattr(compute, "available_mb", lambda: None)

    def told(devices: str) -> str:
        found = compute.compute(Settings(devices=devices, dtype="float32"))
        return next(each.lines[0] for each in found if "once ready" in each.lines[0])

    assert told("cpu,cuda:0,cuda:1") == told("cpu") + ", the workers on GPUs not counted"
    assert told("cuda:0,cpu,cpu") == told("cpu,cpu") + ", the workers on GPUs not counted"


@pytest.mark.parametrize("devices", ["cuda:0,cuda:0", "cuda,cuda:0"])
def test_workers_on_one_gpu_are_told_the_memory_that_each_of_them_gets(
    devices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, shares = Settings(model="random:Pheye-x4-448", devices=devices, dtype="float32"), [0.0]
    monkeypatch.setattr(hardware, "resolve_device", torch.device)
    monkeypatch.setattr(hardware, "memory_budget", lambda _, share: shares.append(share) or int(share * 80e9))
    memory = next(each for each in compute.compute(settings) if each.topic == "memory")
    assert re.fullmatch(r"cuda:0: \d+ slots for each of 2 workers", memory.lines[0])
    load = Mock()
    monkeypatch.setattr("model.runtime.load.load_runner", load)
    load_runner(settings, settings.devices.split(",")[0])
    assert shares[1:] == [load.call_args.kwargs["gpu_memory_share"]] == [0.45]


def test_every_extra_that_serving_uses_is_told() -> None:
    [found] = surroundings.versions(Settings())
    extras = found.lines[2]
    assert all(f"{name} " in extras for name in ("numba", "mcp", "pillow-heif", "nvidia-ml-py", "opentelemetry-sdk"))


def test_the_block_hides_keys_passwords_and_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/maria")
    settings = Settings(api_keys="s3cret,other", slots=3)  # type: ignore[arg-type]
    around = {"HTTPS_PROXY": "http://me:s3cret@proxy:1", "HF_HOME": "/home/maria/hf\x1b[2J"}
    shown = block([*surroundings.keys(settings), *surroundings.changed_settings(settings, around)])
    assert "s3cret" not in shown
    assert "2 in PHEYE_API_KEYS" in shown
    assert "PHEYE_SLOTS=3, PHEYE_API_KEYS=***" in shown
    assert r"HF_HOME=~/hf\x1b[2J, HTTPS_PROXY=http://***@proxy:1" in shown


def test_no_way_to_write_a_password_is_shown() -> None:
    settings = Settings(model="https://hub/x?token=s3cret", name="me:s3/cret@host", context_tokens=512)
    around = {
        "HTTP_PROXY": "me:s3cret@proxy:80",
        "https_proxy": "http://me:s3/c ret@proxy:1",
        "HF_ENDPOINT": "https://x?token=s3cret",
        "NO_PROXY": f"https://x#s3cret,{'y' * 100_000}",
    }
    wrong = Finding("model", (), ("cannot reach 'https://x?token=s3cret' by http://me:s3/cr@et@proxy:1",))
    shown = block([*surroundings.changed_settings(settings, around), wrong])
    assert not [part for part in ("s3", "cret", "c ret", "et@") if part in shown]
    assert "PHEYE_CONTEXT_TOKENS=512" in shown
    assert "HTTP_PROXY=***@proxy:80" in shown
    assert "https_proxy=http://***@proxy:1" in shown
    assert "HF_ENDPOINT=https://x?***" in shown


def test_doctor_says_what_to_mend_and_exits_with_1() -> None:
    words = ("doctor", "--model", "pheye-tinny", "--port", "0", "--server", "http://127.0.0.1:9")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert done.stdout.startswith("```text\nversions ")
    assert "did you mean pheye-tiny?" in " ".join(done.stdout.split())
    assert "is the service running there?" in " ".join(done.stdout.split())
    assert done.stdout.endswith("\n```\n")
    wrong = CliRunner().invoke(app, ["doctor", "--slots", "many", "--port", "0"])
    assert wrong.exit_code == 1
    assert "PHEYE_SLOTS: must be a whole number" in wrong.stdout

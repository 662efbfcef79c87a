"""Fixtures for all tests: the golden cases and a small model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from safetensors.torch import load_file

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.network.compiled.compilation import background
from tests.support import warm_processes
from tests.support.golden import Golden, golden_folders

warm_processes.fork_workers()

# No test is judged by a clock: on a busy machine each example may take long.
settings.register_profile("untimed", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Files of half a minute and more. They come first: one that begins last would leave the other processes idle.
LONGEST = (
    "model/network/test_kernels_interpreted.py",
    "chaos/test_scenarios.py",
    "service/api/connections/shutdown/test_graceful.py",
    "service/cli/test_full_disks.py",
    "service/cli/training/test_train.py",
    "service/cli/dev/test_bench.py",
    "service/dispatch/workers/test_supervisor.py",
    "service/api/connections/test_violence.py",
    "service/api/test_contract.py",
    "model/weights/test_embedded.py",
    "service/test_service.py",
    "service/bench/gpu/test_gpu.py",
    "docs/test_examples.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    assert all((Path(__file__).parent / file).exists() for file in LONGEST)
    order = {f"tests/{file}": place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


@pytest.fixture(autouse=True)
def _no_compiled_code_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test's models begin with torch, whatever an earlier test in this process has got ready."""
    monkeypatch.setattr(background, "CODE", background.CompiledCode())


@pytest.fixture(scope="session", params=golden_folders(), ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder: Path = request.param
    data = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return Golden(folder, open_checkpoint(str(folder)), data, load_file(folder / "golden.safetensors"))


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    return open_checkpoint("random:pheye-micro")

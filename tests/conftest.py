"""Fixtures for all tests: the golden cases and a small model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from tests.support.golden import Golden, golden_folders


@pytest.fixture(scope="session", params=golden_folders(), ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder: Path = request.param
    data = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return Golden(folder, open_checkpoint(str(folder)), data, load_file(folder / "golden.safetensors"))


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    return open_checkpoint("random:pheye-micro")

"""An empty place for uploaded images, and the time of day."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.image_folders import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "images"

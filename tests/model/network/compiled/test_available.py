"""Whether numba can be had: by its version, and by whether it can be imported."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from model.network import linear
from model.network.compiled.compilation import available


def test_the_least_version_is_what_the_extra_asks_for():
    extras = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "numba>={}.{}".format(*available.LEAST) in extras["cpu"]


@pytest.mark.parametrize(
    ("told", "enough"),
    [("0.61.2", False), ("0.62.0", True), ("0.62.0rc1", True), ("0.100.0", True), ("1.0", True), ("unknown", False)],
)
def test_an_older_numba_is_none(told, enough, monkeypatch):
    monkeypatch.setattr(available, "version", lambda name: told)
    assert available.installed.__wrapped__() == enough


def test_a_numba_that_is_not_there_is_none(monkeypatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(available, "version", version)
    assert not available.installed.__wrapped__()


def test_a_numba_that_cannot_be_imported_is_said_once_and_leaves_int8_to_torch(monkeypatch, caplog):
    def import_module(name: str) -> None:
        raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 3.0.")

    monkeypatch.setattr(available, "import_module", import_module)
    monkeypatch.setattr(available, "installed", lambda: True)
    available._imports.cache_clear()
    try:
        weight = torch.randn(8, 64)
        for _ in range(2):
            assert isinstance(linear.linear(weight, None, bits=8, stepped=True), linear.Int8Linear)
        assert caplog.text.count("Numba needs NumPy") == 1
        with pytest.raises(ValueError, match=r"int4 needs .*pheye-service\[cpu\]"):
            linear.linear(weight, None, bits=4, stepped=True)
    finally:
        available._imports.cache_clear()

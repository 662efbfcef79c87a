"""The wheels for a CUDA image: every package that the service needs beside what such an image has."""

from __future__ import annotations

import re
import runpy
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SCRIPT = Path(__file__).parents[2] / "docker" / "gpu_wheels.py"
# What such an image has, as far as the service needs it.
THERE = {
    "accelerate", "certifi", "httpcore", "httpx", "huggingface-hub", "idna", "numpy", "packaging", "peft", "pillow",
    "prometheus-client", "safetensors", "tokenizers", "torch", "transformers",
}  # fmt: skip


@pytest.fixture(scope="module")
def script() -> dict[str, object]:
    return runpy.run_path(str(SCRIPT))


def name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()


def needed(package: str) -> set[str]:
    """List what a package needs on the other machine."""
    asked = [Requirement(each) for each in requires(package) or []]
    there = {"python_version": "3.12", "python_full_version": "3.12.3", "extra": ""}
    return {name(str(each)) for each in asked if each.marker is None or each.marker.evaluate(there)}


def test_every_package_and_what_it_needs_is_carried_or_there(script: dict[str, object]) -> None:
    carried = set(script["PACKAGES"])  # type: ignore[call-overload]
    missing = {package: needed(package) - carried - THERE for package in {*carried, "pheye-service"}}
    assert not {package: names for package, names in missing.items() if names}


def test_the_project_travels_as_a_name_without_code(script: dict[str, object], tmp_path: Path) -> None:
    wheel = script["name_wheel"](tmp_path, distribution("pheye-service").version)  # type: ignore[operator]
    with zipfile.ZipFile(wheel) as file:
        assert {Path(each).parent.suffix for each in file.namelist()} == {".dist-info"}
        metadata = next(each for each in file.namelist() if each.endswith("METADATA"))
        assert "Name: pheye-service\n" in file.read(metadata).decode()

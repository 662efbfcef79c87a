"""The lock of the image's packages: complete, hashed, and without addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from docker.lock import EXTRAS, LOCK

ROOT = Path(__file__).parents[2]
TEXT = LOCK.read_text(encoding="utf-8")
ENTRIES = re.split(r"^(?=[a-z])", TEXT, flags=re.MULTILINE)[1:]


def locked() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in ENTRIES:
        name, version = re.match(r"([a-z0-9.-]+)==([^ \\;]+)", entry).groups()
        found.setdefault(name, []).append(version)
    return found


def test_every_dependency_of_the_image_is_locked_in_a_version_that_the_project_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(each for extra in EXTRAS for each in project["optional-dependencies"][extra])]
    for requirement in map(Requirement, wanted):
        if requirement.name != "torch":
            assert all(version in requirement.specifier for version in locked()[requirement.name]), requirement


def test_every_package_has_hashes_and_the_lock_no_address():
    assert all("--hash=sha256:" in entry for entry in ENTRIES)
    assert "://" not in TEXT


def test_the_image_installs_the_extras_of_the_lock_and_tells_what_is_in_it():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in dockerfile
    assert "/usr/share/pheye/sbom.cdx.json" in dockerfile

"""The changelog: versions with dates, the newest first, and it is the one that is built."""

from __future__ import annotations

import re
import tomllib
from datetime import date

from tests.support.pages import PAGES, ROOT

VERSIONS = re.findall(r"^## (\S+) \((\S+)\)$", PAGES["CHANGELOG.md"], re.MULTILINE)


def test_every_version_has_a_date_and_the_newest_comes_first() -> None:
    assert len(VERSIONS) == PAGES["CHANGELOG.md"].count("\n## ")
    dates = [date.fromisoformat(day) for _, day in VERSIONS]
    numbers = [tuple(map(int, version.split("."))) for version, _ in VERSIONS]
    assert dates == sorted(dates, reverse=True)
    assert numbers == sorted(set(numbers), reverse=True)


def test_the_newest_version_is_the_one_that_is_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSIONS[0][0]
    assert f'org.opencontainers.image.version="{VERSIONS[0][0]}"' in (ROOT / "Dockerfile").read_text(encoding="utf-8")

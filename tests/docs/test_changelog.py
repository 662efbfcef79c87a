"""The changelog: versions with dates, the newest first, and it is the one that is built."""

from __future__ import annotations

import re
import tomllib
from datetime import date

from loadtest.parser import RENAMED_OPTIONS
from service.cli.options.flags import flag_of
from service.cli.options.renamed import COMMANDS
from service.configuration.settings import PREFIX, RENAMED_SETTINGS
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


def test_the_newest_version_tells_what_to_type_now_for_each_renamed_command() -> None:
    renamed = PAGES["CHANGELOG.md"].partition("### Renamed")[2].partition("\n## ")[0]
    for old, now in COMMANDS.items():
        assert f"| `pheye {old}` | `pheye {now}` |" in renamed


def test_the_newest_version_tells_each_renamed_setting() -> None:
    renamed = PAGES["CHANGELOG.md"].partition("### Renamed")[2].partition("\n## ")[0]
    for old, now in RENAMED_SETTINGS.items():
        names = (f"| `{PREFIX}{old.upper()}` | `{PREFIX}{now.upper()}` |", f"| `{flag_of(old)}` | `{flag_of(now)}` |")
        assert all(name in renamed for name in names)


def test_the_newest_version_tells_each_renamed_option_of_the_load_test() -> None:
    renamed = PAGES["CHANGELOG.md"].partition("### Renamed")[2].partition("\n## ")[0]
    for old, now in RENAMED_OPTIONS.items():
        assert re.search(rf"\| `python -m loadtest run {old}\b.*\| `python -m loadtest run {now}\b", renamed)

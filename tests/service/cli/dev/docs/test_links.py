"""Links, paths and orphans: what leads nowhere is named, what leads somewhere is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.dev.docs.links import broken
from service.cli.dev.docs.pages import read_pages

GUIDE = "# Guide\n\n## First steps\n\n[Home](../README.md#my-app)\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/picture.png").touch()
    return tmp_path


def complaints(root: Path, readme: str, guide: str = GUIDE) -> list[str]:
    (root / "README.md").write_text("# My app\n\n[The guide](docs/guide.md)\n\n" + readme)
    (root / "docs/guide.md").write_text(guide)
    return list(broken(root, read_pages(root)))


@pytest.mark.parametrize(
    "readme",
    [
        "[steps](docs/guide.md#first-steps)", "[here](#my-app)", "![a picture](docs/picture.png)",
        "[elsewhere](https://example.org/nothing)", "```\n[in code](nowhere.md)\n```", "`docs/guide.md`", "`docs/`",
    ],
    ids=["heading elsewhere", "heading here", "image", "web", "in a code block", "path", "folder"],
)  # fmt: skip
def test_what_is_there_is_not_complained_about(root: Path, readme: str) -> None:
    assert complaints(root, readme) == []


@pytest.mark.parametrize(
    ("readme", "complaint"),
    [
        ("[gone](docs/gone.md)", "README.md: docs/gone.md: there is no such file"),
        ("![gone](docs/gone.png)", "README.md: docs/gone.png: there is no such file"),
        ("[gone](docs/guide.md#second)", "README.md: docs/guide.md#second: there is no such heading"),
        ("[gone](#second)", "README.md: #second: there is no such heading"),
        ("It is in `service/gone.py`.", "README.md: service/gone.py: there is no such file"),
    ],
    ids=["page", "image", "heading elsewhere", "heading here", "path"],
)
def test_what_leads_nowhere_is_named(root: Path, readme: str, complaint: str) -> None:
    assert complaints(root, readme) == [complaint]


def test_links_of_a_page_are_relative_to_its_folder(root: Path) -> None:
    assert complaints(root, "", "# Guide\n[picture](picture.png) [readme](README.md)\n") == [
        "docs/guide.md: README.md: there is no such file"
    ]


def test_a_page_that_nothing_links_to_is_named(root: Path) -> None:
    (root / "docs/lonely.md").write_text("# Lonely\n")
    assert complaints(root, "") == ["docs/lonely.md: no page links to it"]


def test_the_changelog_may_name_files_that_are_gone(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("`service/old.py` became `service/new.py`.\n")
    assert complaints(root, "") == []

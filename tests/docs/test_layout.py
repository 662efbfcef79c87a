"""Everything in the source tree is found from two pages: top folders and tasks in one, every file in the other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from service.cli.dev.docs.files import ROOMS
from tests.support.pages import PAGES, ROOT

LAYOUT = PAGES["docs/architecture/layout.md"]
FILES = PAGES["docs/architecture/files.md"]
MOST_WORDS = 20  # of what a folder owns, so that it is read at a glance
LISTED = {".py", ".js", ".css"}


def owners() -> list[tuple[str, str]]:
    """Folders and files of the layout's tables, each with the sentence beside it."""
    return re.findall(r"^\| `([\w./-]+)` \| (.*) \|$", LAYOUT, re.MULTILINE)


def tasks() -> list[list[str]]:
    """Paths that each task names, row by row."""
    section = LAYOUT.partition("\n## Where to start\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [re.findall(r"`([\w-]+/[\w./-]*)`", row) for row in rows]


def indexed() -> Iterator[tuple[str, str]]:
    """Path of each file in the list of every file, with what it owns."""
    folder = ""
    for line in FILES.splitlines():
        if heading := re.fullmatch(r"##+ `(.*)`", line):
            folder = heading[1]
        elif entry := re.fullmatch(r"- `([\w.-]+)`(?: - (.*))?", line):
            yield folder + entry[1], entry[2] or ""


@pytest.mark.parametrize("room", ["model", "service", "loadtest"])
def test_the_layout_has_one_row_for_every_top_folder_and_root_file(room: str) -> None:
    there = Counter(
        f"{room}/{path.name}/" if path.is_dir() else f"{room}/{path.name}"
        for path in (ROOT / room).iterdir()
        if path.name not in ("__init__.py", "__pycache__")
    )
    assert Counter(name for name, _ in owners() if re.fullmatch(rf"{room}/[\w-]+(/|\.py)", name)) == there


def test_no_folder_of_the_api_is_left_out() -> None:
    folders = {f"{path.relative_to(ROOT)}/" for path in (ROOT / "service/api").iterdir() if path.is_dir()}
    assert folders - {"service/api/__pycache__/"} <= {name for name, _ in owners()}


@pytest.mark.parametrize(("name", "sentence"), [pytest.param(*row, id=row[0]) for row in owners()])
def test_a_row_is_about_something_that_exists_in_one_short_sentence(name: str, sentence: str) -> None:
    assert (ROOT / name).is_dir() if name.endswith("/") else (ROOT / name).is_file()
    assert len(sentence.split()) <= MOST_WORDS
    assert re.findall(r"\.(?:\s|$)", sentence) == ["."]


def test_a_dozen_tasks_at_most_lead_to_files_that_exist() -> None:
    assert 8 <= len(tasks()) <= 12
    for paths in tasks():
        assert paths
        assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_is_in_the_list_of_files(room: str) -> None:
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / room).rglob("*") if path.suffix in LISTED}
    listed = {name for name, _ in indexed() if name.startswith(f"{room}/")}
    assert listed == {name for name in there if not name.endswith("/__init__.py")}


def test_what_a_file_owns_is_a_whole_sentence() -> None:
    cut = [
        f"{name}: {sentence}"
        for name, sentence in indexed()
        if sentence[-1:] not in (".", "?") or sentence.count("(") != sentence.count(")") or sentence.count("`") % 2
    ]
    assert cut == []

"""The page about the layout names every folder and every file beside them."""

from __future__ import annotations

import pytest

from tests.support.pages import PAGES, ROOT

LAYOUT = PAGES["docs/architecture/layout.md"]


@pytest.mark.parametrize("room", ["model", "service", "loadtest"])
def test_the_layout_page_names_every_folder_and_file(room: str) -> None:
    for path in (ROOT / room).iterdir():
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir() and not path.name.startswith("__"):
            assert f"`{name}/" in LAYOUT
        elif path.suffix == ".py" and path.name != "__init__.py":
            assert f"`{name}`" in LAYOUT


def test_no_folder_of_the_api_is_left_out() -> None:
    for path in (ROOT / "service/api").iterdir():
        if path.name not in ("__init__.py", "__pycache__"):
            assert f"`{path.relative_to(ROOT).as_posix()}" in LAYOUT

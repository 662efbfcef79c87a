"""The index of the source tree has each folder with its purpose, and below it what each file owns."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.dev.docs import files
from tests.support.pages import ROOT

TREE = {
    "model/__init__.py": '"""The model. More."""',
    "model/b.py": '"""Second file. More."""',
    "model/a.py": '"""First file,\nwith (as A et al. say) a break. More."""',
    "model/weights/config.json": "{}",
    "model/z/__init__.py": '"""Last folder of all."""',
    "model/z/deep/__init__.py": '"""Folder in a folder."""',
    "model/z/deep/c.py": '"""Deep file here."""\nraise SystemExit("it was imported")\n',
    "model/zz/__init__.py": '"""Folder with nothing else."""',
    "service/api/pages/docs/page.css": "/* Colours of the page. */\nbody {}\n",
    "service/api/pages/docs/page.js": "// Starts\n// the page. Knows nothing.\nstart();\n",
    "service/api/pages/docs/bare.js": "start(); // at once\n",
    "service/api/pages/docs/page.html": "<p>",
    "service/api/pages/__pycache__/old.pyc": "",
}
INDEX = f"""\
## `model/`

The model.

- `a.py` - First file, with (as A et al. say) a break.
- `b.py` - Second file.

### `model/z/`

Last folder of all.

### `model/z/deep/`

Folder in a folder.

- `c.py` - Deep file here.

### `service/api/pages/docs/`

{files.PURPOSES["service/api/pages/docs"]}

- `bare.js`
- `page.css` - Colours of the page.
- `page.js` - Starts the page."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a few files of each kind."""
    for name, text in TREE.items():
        write(tmp_path / name, text)
    for room in files.ROOMS:
        (tmp_path / room).mkdir(parents=True, exist_ok=True)
    for name in ("service", "service/api"):
        write(tmp_path / name / "__init__.py", '"""Way to the pages."""')
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_index_goes_down_the_folders_by_path_and_imports_nothing(root: Path) -> None:
    way = "\n\n".join(
        [
            "## `service/`", "Way to the pages.", "### `service/api/`", "Way to the pages.",
            "### `service/api/pages/`", files.PURPOSES["service/api/pages"], "",
        ]
    )  # fmt: skip
    assert files.index(root) == INDEX.replace("### `service/api/pages/docs/`", f"{way}### `service/api/pages/docs/`")


def test_a_folder_without_a_purpose_is_named(root: Path) -> None:
    write(root / "service/api/pages/new/page.js", "// New page.\n")
    with pytest.raises(ValueError, match="service/api/pages/new/: there is no __init__"):
        files.index(root)


@pytest.mark.parametrize("name", ["model/silent.py", "model/silent/__init__.py", "model/silent/a.py"])
def test_a_module_without_a_docstring_is_named(root: Path, name: str) -> None:
    write(root / "model/silent/__init__.py", '"""Folder that speaks."""')
    write(root / "model/silent/b.py", '"""File that speaks."""')
    write(root / name, "x = 1\n")
    with pytest.raises(ValueError, match=rf"{name}: there is no docstring"):
        files.index(root)


@pytest.mark.parametrize("name", files.PURPOSES)
def test_purposes_are_of_folders_that_cannot_say_it_themselves(name: str) -> None:
    assert (ROOT / name).is_dir()
    assert not (ROOT / name / "__init__.py").exists()

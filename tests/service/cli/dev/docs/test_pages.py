"""`pheye dev docs` writes what is stale, `--check` finds it, and what a person must mend is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from service.cli.dev.docs.command import docs_command
from service.cli.dev.docs.pages import makers
from service.cli.main import app

ROOT = Path(__file__).parents[5]
BLOCKS = "\n".join(f"<!-- generated: {name} -->\nold\n<!-- end -->" for name in makers(app, ROOT))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one page of everything; the files that blocks are made from are the real ones."""
    for name in ("model", "service", "loadtest", "docker", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/results").symlink_to(ROOT / "docs/results")
    (tmp_path / "README.md").write_text("# Front door\n\n[All](docs/configuration.md)\n")
    (tmp_path / "docs/configuration.md").write_text(f"# All\n\n{BLOCKS}\n")
    return tmp_path


def docs(root: Path, *words: str) -> tuple[int, str, str]:
    alone = typer.Typer()
    alone.command()(docs_command(app))
    result = CliRunner().invoke(alone, ["--root", str(root), *words])
    return result.exit_code, result.stdout, result.stderr


def test_docs_writes_and_check_finds_what_is_stale(root: Path) -> None:
    page = root / "docs/configuration.md"
    old = page.read_text()
    code, diff, errors = docs(root, "--check")
    assert (code, page.read_text()) == (1, old)
    assert "\n-old\n" in diff
    assert "\n+| `PHEYE_MODEL` |" in diff
    assert errors == "pheye: docs/configuration.md is stale; run: make docs\n"
    assert docs(root) == (0, "", "")
    assert "\nold\n" not in page.read_text()
    assert docs(root, "--check") == (0, "", "")


@pytest.mark.parametrize("words", [(), ("--check",)], ids=["written", "checked"])
def test_a_link_that_leads_nowhere_fails_and_is_named(root: Path, words: tuple[str, ...]) -> None:
    docs(root)
    (root / "README.md").write_text("# Front door\n\n[All](docs/configuration.md) [gone](gone.md)\n")
    code, _, errors = docs(root, *words)
    assert (code, errors) == (1, "pheye: README.md: gone.md: there is no such file\n")


def test_a_readme_that_is_too_long_is_refused(root: Path) -> None:
    docs(root)
    readme = root / "README.md"
    readme.write_text(readme.read_text() + "more\n" * 198)
    assert docs(root, "--check") == (1, "", "pheye: README.md: 201 lines; at most 200\n")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ("generated: metrics", "generated: poems"),
            "docs/configuration.md: <!-- generated: poems -->: there is no such",
        ),
        (("<!-- generated: metrics -->", ""), "on no page: metrics"),
    ],
    ids=["unknown", "missing"],
)
def test_a_wrong_block_is_named_and_nothing_is_written(root: Path, change: tuple[str, str], complaint: str) -> None:
    page = root / "docs/configuration.md"
    page.write_text(page.read_text().replace(*change))
    old = page.read_text()
    code, _, errors = docs(root)
    assert code == 2
    assert complaint in errors
    assert page.read_text() == old

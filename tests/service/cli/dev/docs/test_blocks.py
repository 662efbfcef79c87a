"""The generated parts of the README: complete, in place, and stale ones are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.dev.readme import CommandRow, MarkerError, command_rows, render
from service.cli.main import app
from service.metrics import metric_rows
from service.settings import Settings

EMPTY = """# Title
before
<!-- generated: commands -->
old
<!-- end -->
between
<!-- generated: settings --><!-- end -->
<!-- generated: metrics -->
<!-- end -->
after"""


def test_every_setting_metric_and_command_has_a_line() -> None:
    made = render(EMPTY, command_rows(app))
    for name in Settings.model_fields:
        assert made.count(f"\n| `PHEYE_{name.upper()}` | `--{name.replace('_', '-')}` |") == 1
    for row in metric_rows():
        assert made.count(f"\n| `{row.name}` | {row.type} |") == 1
    for command in app.registered_commands:
        assert made.count(f"\n| `pheye {command.callback.__name__}") == 1  # type: ignore[union-attr]


def test_a_group_of_commands_has_one_line_with_their_names() -> None:
    (row,) = (row for row in command_rows(app) if row.usage.startswith("pheye evaluate"))
    assert row.usage == "pheye evaluate COMMAND"
    assert row.options.startswith("`vqav2`, `textvqa`")


def test_only_what_stands_between_markers_changes_and_twice_is_once() -> None:
    made = render(EMPTY, command_rows(app))
    assert made.startswith("# Title\nbefore\n<!-- generated: commands -->\n| Command |")
    assert "\n<!-- end -->\nbetween\n<!-- generated: settings -->\n| Variable |" in made
    assert made.endswith("|\n<!-- end -->\nafter")
    assert "\nold\n" not in made
    assert render(made, command_rows(app)) == made


def test_a_table_has_as_many_cells_in_every_line_whatever_they_hold() -> None:
    made = render(EMPTY, [CommandRow("pheye x A|B", "this | that", "`--y`")])
    assert "| `pheye x A\\|B` | this \\| that | `--y` |" in made


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no marker", "generated: settings -->: expected once, found 0 times"),
        (EMPTY + "\n<!-- generated: metrics --><!-- end -->", "generated: metrics -->: expected once, found 2"),
        (EMPTY + "\n<!-- generated: poems --><!-- end -->", "generated: poems -->: there is no such part"),
        (EMPTY.replace("settings --><!-- end -->", "settings -->"), "settings -->: it is not followed by"),
        (EMPTY.replace("old\n<!-- end -->", "old"), "commands -->: it is not followed by"),
    ],
    ids=["no marker", "twice", "unknown", "no end", "no end before text"],
)
def test_a_wrong_marker_is_named_and_nothing_is_written(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(MarkerError, match=complaint):
        render(text, command_rows(app))
    readme = tmp_path / "README.md"
    readme.write_text(text)
    result = CliRunner().invoke(app, ["docs", "--file", str(readme)])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert readme.read_text() == text


def test_docs_writes_and_check_finds_what_is_stale(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(EMPTY)

    def docs(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["docs", "--file", str(readme), *words])
        return result.exit_code, result.stdout

    code, diff = docs("--check")
    assert (code, readme.read_text()) == (1, EMPTY)
    assert "\n-old\n" in diff
    assert "\n+| `PHEYE_MODEL` |" in diff
    assert docs() == (0, "")
    assert docs("--check") == (0, "")

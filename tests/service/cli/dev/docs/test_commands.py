"""The command reference: what it says is what `--help` says, command by command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from service.cli.dev.docs.commands import commands, reference
from service.cli.main import app

FOUND = {command.name: command for command in commands(app, "pheye")}


def help_of(name: str) -> str:
    result = CliRunner().invoke(app, [*name.split()[1:], "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


@pytest.mark.parametrize("name", FOUND)
def test_the_reference_has_the_options_that_help_shows(name: str) -> None:
    shown = help_of(name)
    command = FOUND[name]
    assert command.help.split("\n")[0] in shown
    typed = {word for option in command.options for word in re.split("[,/ ]+", option.name)}
    listed = set(re.findall(r"(?<=[\s,])--[a-z][a-z0-9-]*(?= |,|$)", shown.partition("Options:")[2]))
    assert typed <= listed
    assert all(argument.name.strip("[].").split("|")[0] in shown.upper() for argument in command.arguments)


def test_the_reference_has_every_command_that_help_lists() -> None:
    made = reference(app)
    for name, command in FOUND.items():
        if command.is_group:
            listed = re.findall(
                r"^  ([a-z][\w-]*)  ", CliRunner().invoke(app, [*name.split()[1:], "--help"]).stdout, re.M
            )
            assert listed
            for word in listed:
                assert f"\n## {name} {word}\n" in made


def test_serve_refers_to_the_settings() -> None:
    made = reference(app)
    section = made.partition("\n## pheye serve\n")[2].partition("\n## ")[0]
    assert "configuration.md" in section
    assert "--port" not in section


def small_app() -> typer.Typer:
    small = typer.Typer(help="Small.")

    def command(
        file: Annotated[Path, typer.Argument(help="A file.")],
        size: Annotated[Literal["big", "small"], typer.Option(help="How large.")] = "big",
        count: Annotated[int | None, typer.Option("--number", min=1, max=9, help="How many.")] = None,
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say <nothing>.")] = False,
        secret: Annotated[str, typer.Option(hidden=True)] = "",
        rest: Annotated[list[str] | None, typer.Argument(metavar="WORD")] = None,
    ) -> None:
        """Do the work.

        At length.
        """

    small.command("do")(command)
    return small


def test_an_option_is_shown_with_its_value_bounds_and_default() -> None:
    (_, command) = commands(small_app(), "small")
    assert command.usage == "small do [OPTIONS] FILE [WORD...]"
    made = reference(small_app())
    assert "\n| `--size big\\|small` | How large. Default: `big`. |" in made
    assert "\n| `--number N` | How many. 1 to 9. |" in made
    assert "\n| `--quiet, -q` | Say &lt;nothing>. |" in made
    assert "\n| `FILE` | A file. Required. |" in made
    assert "secret" not in made
    assert "\nDo the work.\n\nAt length.\n" in made


def test_an_option_of_several_commands_is_told_once() -> None:
    several = typer.Typer()
    for name in ("a", "b", "c"):

        def command(colour: Annotated[str, typer.Option(help="Which.")] = "red") -> None:
            """Paint the wall."""

        several.command(name)(command)
    made = reference(several)
    assert made.count("| `--colour TEXT` | Which. Default: `red`. |") == 1
    assert made.count("[Shared options](#shared-options): `--colour`.") == 3
    assert made.index("## Shared options") > made.index("## pheye c")

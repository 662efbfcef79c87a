"""Option classes: what a class declares is what can be typed, and what was typed comes back as the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from service.cli.options.dataclass_options import options, take


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(min=1, help="How wide.")]
    height: Annotated[int, typer.Option("--tall", help="How tall.")] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    colour: Annotated[str, typer.Option(help="Which colour.")] = "red"


def typed(*words: str) -> tuple[Any, list[dict[str, Any]]]:
    """Run a command with both classes, and return what it answers, and what it was given."""
    app, given = typer.Typer(), list[dict[str, Any]]()

    @app.command()
    @options(Size, Paint)
    def draw(name: str, **values: Any) -> None:
        given.append({"name": name} | values)

    return CliRunner().invoke(app, words), given


def test_each_field_is_an_option_and_comes_back_in_its_class() -> None:
    result, (given,) = typed("box", "--width", "3", "--tall", "2", "--colour", "blue")
    assert result.exit_code == 0
    size, rest = take(Size, given)
    paint, left = take(Paint, rest)
    assert (size, paint, left) == (Size(width=3, height=2), Paint(colour="blue"), {"name": "box"})


def test_a_field_that_is_not_typed_has_its_default() -> None:
    _, (given,) = typed("box", "--width", "3")
    assert take(Size, given)[0] == Size(width=3)
    assert take(Paint, given)[0] == Paint()


def test_help_shows_the_options_in_the_order_of_the_classes() -> None:
    shown = typed("--help")[0].stdout
    places = [shown.index(word) for word in ("--width", "How wide.", "--tall", "How tall.", "--colour")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["box"], "--width"), (["box", "--width", "0"], "--width"), (["box", "--width", "1", "--depth", "1"], "--depth")],
    ids=["a field without a default", "out of bounds", "no field"],
)
def test_a_mistake_is_named(words: list[str], said: str) -> None:
    result, given = typed(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not given

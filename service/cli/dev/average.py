"""`pheye dev average`: one model from several that were trained from the same start. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options.flags import fail_for


def average(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL=SHARE...", help="Models and their shares, which add up to 1.")
    ],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the average goes; must not exist yet.")],
) -> None:
    """Average the weights of models that were trained from the same start."""
    from model.training.artifacts.averaging import Ingredient
    from model.training.artifacts.averaging import average as write_average

    try:
        typer.echo(f"{write_average([Ingredient.parse(each) for each in models], output)}")
    except (ValueError, OSError) as error:
        fail_for(error)

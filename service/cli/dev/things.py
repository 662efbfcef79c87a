"""`pheye dev things`: pictures of everyday things that pheye-tiny learns to name. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options.flags import fail_for


def things(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the pictures go; those there are kept.")],
) -> None:
    """Fill a folder with pictures of everyday things from free icon sets, for training and `pheye evaluate things`."""
    from model.data.things.collecting import collect

    try:
        typer.echo(f"{collect(output)} pictures in {output}")
    except (ValueError, OSError) as error:
        fail_for(error)

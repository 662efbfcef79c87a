"""`pheye dev photographs`: pictures that pheye-tiny learns not to talk about. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options.flags import fail_for


def photographs(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the pictures go; those there are kept.")],
) -> None:
    """Fill a folder with the pictures of Debian packages, for `pheye train --data truthful:FOLDER`."""
    from model.data.outside.packages import collect

    try:
        typer.echo(f"{collect(output)} pictures in {output}")
    except (ValueError, OSError) as error:
        fail_for(error)

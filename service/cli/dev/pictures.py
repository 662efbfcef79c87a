"""`pheye dev photographs` and `things`: pictures that pheye-tiny learns from and is asked about. Main thread only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options.flags import fail_for

_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the pictures go; those there are kept.")]


def photographs(output: _Folder) -> None:
    """Fill a folder with the pictures of Debian packages, for `pheye train --data truthful:FOLDER`."""
    from model.data.outside.packages import collect

    _fill(output, collect)


def things(output: _Folder) -> None:
    """Fill a folder with pictures of everyday things from free icon sets, for training and `pheye evaluate things`."""
    from model.data.things.collecting import collect

    _fill(output, collect)


def _fill(folder: Path, collect: Callable[[Path], int]) -> None:
    try:
        typer.echo(f"{collect(folder)} pictures in {folder}")
    except (ValueError, OSError) as error:
        fail_for(error)

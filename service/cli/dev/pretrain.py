"""`pheye dev pretrain`: the options for making pheye-tiny's frozen parts. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options.flags import fail, fail_for
from service.cli.training.train import EXTRA


def pretrain(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="The work's folder; the parts go to FOLDER/model.")],
) -> None:
    """Teach pheye-tiny's frozen parts on the synthetic world; run again to go on after a kill."""
    try:
        from model.training.stage0.parts import make_parts

        typer.echo(f"{make_parts(output)}")
    except ModuleNotFoundError as error:
        fail(f"{error}; {EXTRA}")
    except (ValueError, OSError) as error:
        fail_for(error)

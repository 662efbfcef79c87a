"""`pheye dev pretrain` and `pretrain-things`: options for teaching pheye-tiny's parts alone. Main thread only."""

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


def pretrain_things(
    output: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The work's folder; the model goes to FOLDER/model.")
    ],
    pictures: Annotated[Path, typer.Option(help="Pictures, as `pheye train --data things:FOLDER` takes them.")],
    model: Annotated[str, typer.Option(help="The model whose eye is taught; a folder or pheye-tiny.")] = "pheye-tiny",
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps; 70 pictures each.")] = 1600,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="The highest.")] = 1.5e-3,
) -> None:
    """Teach a model's vision encoder the names of everyday things; run again to go on after a kill."""
    try:
        from model.training.stage0.loop import LearningSchedule
        from model.training.stage0.things import teach_things

        plan = LearningSchedule(steps, learning_rate, warm_up=60, decay=0.02)
        typer.echo(f"{teach_things(model, pictures, plan, output)}")
    except ModuleNotFoundError as error:
        fail(f"{error}; {EXTRA}")
    except (ValueError, OSError) as error:
        fail_for(error)

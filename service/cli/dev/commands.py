"""`pheye dev`: the commands for people who work on this project, as one group."""

from __future__ import annotations

import typer

from service.cli.dev.ablate import ablate
from service.cli.dev.average import average
from service.cli.dev.baseline import baseline
from service.cli.dev.bench import bench
from service.cli.dev.capacity import capacity
from service.cli.dev.docs.command import docs_command
from service.cli.dev.gpu import gpu
from service.cli.dev.pictures import photographs, things
from service.cli.dev.pretrain import pretrain, pretrain_things
from service.cli.dev.startup import startup


def dev_commands(app: typer.Typer) -> typer.Typer:
    """Make the group; its `docs` documents `app`, to which the group is then added."""
    dev = typer.Typer(
        name="dev",
        help="For people who work on this project: measure, compare, document.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (
        bench,
        startup,
        capacity,
        gpu,
        baseline,
        ablate,
        pretrain,
        pretrain_things,
        average,
        photographs,
        things,
        docs_command(app),
    ):
        dev.command()(command)
    return dev

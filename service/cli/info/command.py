"""`pheye info`: its options, and the order in which its parts are told. Main thread only."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service.cli.options.dataclass_options import options
from service.cli.options.flags import fail_for, read_settings, setting_flags
from service.cli.options.shared_options import AS_JSON


@options(setting_flags("revision", "context_tokens"))
def info(
    model: Annotated[
        str | None, typer.Argument(help="A geometry's name, a folder or a hub id; default PHEYE_MODEL.")
    ] = None,
    as_json: AS_JSON = False,
    **flags: str | None,
) -> None:
    """Show what a model knows, how to use it, what it would take of this machine, and its size, without loading it.

    Without a model, the built-in one and the published checkpoints are compared as well.
    """
    settings = read_settings(flags)
    from rich.console import Console

    from service.cli.info import figures as report
    from service.cli.info.needs import all_needs, needs_as_json, print_needs
    from service.cli.info.uses import print_uses
    from service.machine.load import machine_load

    source = model or settings.model
    try:
        config = report.find_config(source, settings.revision)
        ranks = report.find_ranks(source, settings.revision, config)
        about, others = report.find_about(source, settings.revision), report.find_unpinned(source, settings.revision)
    except (ValueError, OSError) as error:
        fail_for(error)
    load = machine_load()
    figures = report.figures(config, settings.context_tokens, ranks, others)
    here = list(all_needs(source, config, settings, others=model is None))
    if as_json:
        knows = {} if about is None else {"about": {"knows": about.knows}}
        typer.echo(json.dumps({**knows, **report.as_json(figures), "this_machine": needs_as_json(here)}, indent=2))
        return
    console = Console()
    print_uses(source, about, console)
    print_needs(here, load, console)
    report.print_tables(figures, console)

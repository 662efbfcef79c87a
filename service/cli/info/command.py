"""`pheye info`: its options, and the order in which its parts are told. Main thread only."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service.cli.flags import fail_for, read_settings, setting_flags
from service.cli.options import options


@options(setting_flags("revision", "context_tokens"))
def info(
    model: Annotated[
        str | None, typer.Argument(help="A geometry's name, a folder or a hub id; default PHEYE_MODEL.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Exact numbers for programs.")] = False,
    **flags: str | None,
) -> None:
    """Show a model's geometry, size and cost without loading it, and what it would take of this machine.

    Without a model, the built-in one and the published checkpoints are compared as well.
    """
    settings = read_settings(flags)
    from rich.console import Console

    from service.cli.info import figures as report
    from service.cli.info.needs import all_needs, needs_as_json, print_needs

    source = model or settings.model
    try:
        config = report.find_config(source, settings.revision)
        ranks, knows = report.find_ranks(source, config), report.find_knows(source)
    except (ValueError, OSError) as error:
        fail_for(error)
    figures = report.figures(config, settings.context_tokens, ranks, knows)
    here = list(all_needs(source, config, settings, others=model is None))
    if as_json:
        typer.echo(json.dumps({**report.as_json(figures), "this_machine": needs_as_json(here)}, indent=2))
    else:
        report.print_tables(figures, Console())
        print_needs(here, Console())

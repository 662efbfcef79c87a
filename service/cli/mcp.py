"""`pheye mcp`: MCP for an agent on this machine, which starts the command and speaks with it.

Owns the words; `service.mcp_process` does the work. Nothing is printed to standard output, which is the protocol's.
Main thread only.
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from service.cli.options.answerer_options import (
    IMAGE_SETTINGS,
    MODEL_SETTINGS,
    AnswererOptions,
    engine_settings,
    server,
)
from service.cli.options.dataclass_options import options, take
from service.cli.options.flags import OFFLINE_NAMES, current_names, fail, fail_for, setting_flags
from service.mcp.extra import ExtraMissing, check_extra

OWN_SETTINGS = (*MODEL_SETTINGS, "default_max_tokens", *IMAGE_SETTINGS, "log_level")


@options(AnswererOptions, setting_flags(*OWN_SETTINGS, renamed=OFFLINE_NAMES))
def mcp(**words: Any) -> None:
    """Serve an agent over standard input and output by the Model Context Protocol (MCP), with or without a server.

    The tools are caption, ask and estimate. The agent starts this command itself.
    """
    where, typed = take(AnswererOptions, words)
    flags = current_names(typed)
    try:
        check_extra()
        if sys.stdin.isatty():
            typer.echo(
                "pheye: this speaks MCP with an agent, which starts it; docs/mcp.md tells how; Ctrl-D ends it", err=True
            )
        if where.server is not None:
            connection = server(where, flags)
            from service.mcp_process import serve_there

            raise typer.Exit(serve_there(connection))
        settings = engine_settings(where, flags)
    except ExtraMissing as error:
        fail(str(error))
    except (ValueError, OSError) as error:
        fail_for(error)
    from service.mcp_process import serve_here

    raise typer.Exit(serve_here(settings))

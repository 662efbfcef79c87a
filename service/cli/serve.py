"""`pheye serve`: its flags and its start, which can be had without the other commands.

A server is started again and again, and declaring all the other commands takes as long as a fifth of its imports. Main
thread only.
"""

from __future__ import annotations

import sys

import typer

from service.cli.options.dataclass_options import options
from service.cli.options.flags import fail, read_settings, setting_flags
from service.cli.options.model_names import check_model
from service.configuration.settings import SettingsError

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


@options(setting_flags())
def serve(**flags: str | None) -> None:
    """Serve captions and answers over HTTP until a signal ends it."""
    settings = read_settings(flags)
    check_model(settings.model, settings.revision)
    from service.api.server import serve as run_server
    from service.machine.workers import with_workers

    try:
        code = run_server(with_workers(settings))
    except SettingsError as error:
        fail(str(error))
    raise typer.Exit(code)


def main() -> None:
    """Run the command whose words follow `pheye serve`, in the words of the whole command line."""
    alone = typer.Typer(
        context_settings=HELP_OPTIONS, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    alone.command()(serve)
    alone(sys.argv[2:], prog_name="pheye serve")

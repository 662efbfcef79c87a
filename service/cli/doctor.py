"""`pheye doctor`: everything that matters when something does not work, in one block.

Owns the words and the exit code; `service.machine.doctor` asks and writes. Main thread only.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from service.cli.options.dataclass_options import options
from service.cli.options.flags import current_names, fail_for, setting_flags
from service.cli.options.shared_options import API_KEY_FILE

EXIT_FAULT = 1


@options(setting_flags())
def doctor(
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask a running service about itself as well.")
    ] = None,
    api_key_file: API_KEY_FILE = None,
    **flags: str | None,
) -> None:
    """Examine this machine and these settings, as a block to paste into an issue; no key is shown.

    Exit code 1 if something would keep `pheye serve` from working; the block says what to do.
    """
    if sys.stderr.isatty():  # imports alone can take many seconds
        typer.echo("pheye: examining this machine, for a minute at most ...", err=True)
    from service.batch.answerers.server import ServiceConnection, check_url, read_key
    from service.configuration.settings import Settings, SettingsError, load_settings
    from service.machine.doctor import block, examine
    from service.machine.finding import Finding, still_running

    wrong: list[Finding] = []
    try:
        key = None if api_key_file is None else read_key(api_key_file)
        connection = None if server is None else ServiceConnection(check_url(server), key)
    except (ValueError, OSError) as error:
        fail_for(error)
    try:
        settings = load_settings(**{name: value for name, value in current_names(flags).items() if value is not None})
    except SettingsError as error:
        wrong = [Finding("settings", ("wrong; the defaults are examined instead",), tuple(str(error).splitlines()))]
        settings = Settings.model_construct()
    findings = [*wrong, *examine(settings, connection)]
    sys.stdout.write(block(findings) + "\n")
    sys.stdout.flush()
    code = EXIT_FAULT if any(finding.faults for finding in findings) else 0
    if still_running():
        os._exit(code)
    raise typer.Exit(code)

"""`pheye keys`: a new API key for the file of keys, and a look at such a file before the service reads it.

Owns the words; the format is `service.configuration.key_files`'. Main thread only.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.cli.options.flags import fail, fail_for
from service.configuration.client_policy import ClientPolicy, Priority
from service.configuration.key_files import new_key_table, read_key_file

keys = typer.Typer(
    name="keys",
    help="Make API keys for the file that PHEYE_KEYS_FILE names, and check it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="What people call the key: the log shows it.")],
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keys of one group share uploaded images and image features.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="Share of slots and waiting queue, 0.01 to 100; 1 if it is not given.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(help="Requests under way; PHEYE_CLIENT_CONCURRENCY if it is not given.")
    ] = None,
    rate: Annotated[str | None, typer.Option(help="Such as 60/minute; PHEYE_CLIENT_RATE if it is not given.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="bulk makes all of its requests bulk.")] = None,
) -> None:
    """Make a key: it is shown once, on standard error, and its entry for the file goes to standard output.

    So `pheye keys new web >> keys.toml` adds the entry and leaves the key on the terminal. The file has the key's hash
    alone. A running service reads the file again by itself.
    """
    fields = {
        "group": group, "weight": weight, "max_concurrent": max_concurrent, "rate": rate, "priority": priority,
    }  # fmt: skip
    try:
        key, table = new_key_table(name, fields)
        sys.stdout.write(f"\n{table}")
        sys.stdout.flush()
    except (ValueError, OSError) as error:
        fail_for(error)
    typer.echo(f"pheye: the key of {name!r}, shown this once: {key}", err=True)


@keys.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of keys.")],
) -> None:
    """Check a file of keys, and name those in it."""
    try:
        entries = read_key_file(file, ClientPolicy())
    except ValueError as error:
        fail(str(error))
    names = ", ".join(repr(entry.name) for entry in entries)
    typer.echo(f"{file}: {len(entries)} keys: {names}" if len(entries) > 1 else f"{file}: 1 key: {names}")

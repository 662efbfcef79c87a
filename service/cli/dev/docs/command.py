"""`pheye dev docs`: the command that writes or checks the generated documentation.

Owns the exit codes; the pages are `service.cli.dev.docs.pages`'. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options.flags import fail_for

EXIT_STALE = 1


def docs_command(app: typer.Typer) -> Callable[..., None]:
    """Make the command that documents `app`, to be declared as one of its own or of a group's."""

    def docs(
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit 1 if a page is stale or a link leads nowhere.")
        ] = False,
        root: Annotated[Path, typer.Option(metavar="FOLDER", help="The repository.")] = Path(),
    ) -> None:
        """Write the generated parts of README.md and docs/, and check their links."""
        _document(app, root, check=check)

    return docs


def _document(app: typer.Typer, root: Path, *, check: bool) -> None:
    from service.cli.dev.docs.blocks import BlockError
    from service.cli.dev.docs.pages import faults, makers, read_pages, render_pages

    try:
        pages = render_pages(read_pages(root), makers(app, root))
        wrong = list(faults(root, pages))
        for page in [] if check else pages:
            if page.old != page.new:
                (root / page.name).write_text(page.new, encoding="utf-8")
    except (BlockError, OSError) as error:
        fail_for(error)
    stale = [page for page in pages if page.old != page.new] if check else []
    for page in stale:
        typer.echo(page.difference)
    for line in [*(f"{page.name} is stale; run: make docs" for page in stale), *wrong]:
        typer.echo(f"pheye: {line}", err=True)
    if stale or wrong:
        raise typer.Exit(EXIT_STALE)

"""Old names of commands: understood for one version, with a warning that says what to type now.

Owns the table and the group class that reads it; CHANGELOG.md tells users the same. Knows no command. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

# What was typed after `pheye` until 0.1 -> what is typed since 0.2. To be emptied with 0.3.
COMMANDS: Mapping[str, str] = {
    "ablate": "dev ablate",
    "baseline": "dev baseline",
    "bench": "dev bench",
    "docs": "dev docs",
    "pretrain": "dev pretrain",
    "version": "--version",
}


class RenamedCommands(TyperGroup):
    """A group of commands that also understands old names; neither help nor completion shows them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Replace an old name in front by the new one, then parse as usual."""
        now = COMMANDS.get(args[0]) if args else None
        if now is not None:
            if not ctx.resilient_parsing:  # as it is while a shell completes a line
                typer.echo(
                    f"pheye: 'pheye {args[0]}' is now 'pheye {now}'; the next version will not know it", err=True
                )
            args = [*now.split(), *args[1:]]
        return super().parse_args(ctx, args)

"""Command-line parser that works as the `pheye` command does: the same help, the same errors, the same exit codes.

The load test imports nothing of the service, so it brings its own few lines on top of argparse. Knows no option of the
load test's. Main thread only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Self

EXIT_USAGE = 2  # the command cannot be run as typed
WIDTH, FIRST_COLUMN, GAP, LEAST_COLUMN = 80, 30, 2, 12
# Until 0.1 -> since 0.2: understood for one version, with a warning. CHANGELOG.md tells users the same.
RENAMED_OPTIONS = {"--out": "--report"}


class Parser(argparse.ArgumentParser):
    """Parser of a command, or of a group of commands, with the options that `option` declares.

    Args:
        prog: how it is typed.
        description: the first lines of its help.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, add_help=False, allow_abbrev=False)
        self._arguments, self._options = list[str](), list[tuple[str, str]]()
        self._groups: argparse._SubParsersAction[Self] | None = None
        self._commands = list[tuple[str, str]]()
        self.add_argument("-h", "--help", action="help")

    def argument(self, name: str, *, several: bool = False, **how: Any) -> None:
        """Declare an argument, which must be typed."""
        self._arguments.append(f"{name.upper()}..." if several else name.upper())
        self.add_argument(name, metavar=name.upper(), **how | ({"nargs": "+"} if several else {}))

    def option(
        self, flag: str, text: str, *, metavar: str = "", among: Any = None, shown: str = "", **how: Any
    ) -> None:
        """Declare an option of this command.

        Args:
            flag: how it is typed.
            text: what help says of it.
            metavar: a word for its value.
            among: the group of options of which only one may be typed, if it is in one.
            shown: its default, as it is typed, where that is not `how["default"]`.
            how: as argparse's `add_argument` takes it.
        """
        default = shown or how.get("default")
        note = "  [required]" if how.get("required") else "" if default is None else f"  [default: {default}]"
        self._options.append((f"{flag} {metavar}".strip(), text + note))
        (among or self).add_argument(flag, **how | ({"metavar": metavar} if metavar else {}))

    def command(self, name: str, description: str) -> Self:
        """Declare a command of this group."""
        if self._groups is None:
            self._groups = self.add_subparsers(dest="command", required=True, metavar="COMMAND")
        self._commands.append((name, description))
        made: Self = self._groups.add_parser(name, prog=f"{self.prog} {name}", description=description)
        return made

    def format_usage(self) -> str:
        """Format the usage in one line."""
        rest = ["COMMAND [ARGS]..."] if self._commands else self._arguments
        return " ".join(["Usage:", self.prog, "[OPTIONS]", *rest]) + "\n"

    def format_help(self) -> str:
        """Format usage, description, options and commands."""
        width = min(shutil.get_terminal_size().columns, WIDTH)
        about = textwrap.fill(self.description or "", width, initial_indent="  ", subsequent_indent="  ")
        options = [*self._options, ("-h, --help", "Show this message and exit.")]
        parts = [self.format_usage(), about + "\n", *_section("Options", options, width)]
        return "\n".join([*parts, *_section("Commands", self._commands, width)])

    def error(self, message: str) -> NoReturn:
        """Print the error and end with exit code 2."""
        text = re.sub(r"^argument (\S+): ", r"Invalid value for '\1': ", message)
        text = re.sub(r"^the following arguments are required: (.*)", r"Missing \1.", text)
        self.exit(EXIT_USAGE, f"{self.format_usage()}Try '{self.prog} -h' for help.\n\nError: {text}\n")


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Format a titled list in two columns; nothing if it is empty."""
    if rows:
        first = max(len(name) for name, _ in rows if len(name) <= FIRST_COLUMN) + GAP
        yield f"{title}:\n" + "".join(f"{line}\n" for row in rows for line in _row(*row, first, width))


def _row(name: str, text: str, first: int, width: int) -> Iterator[str]:
    lines = textwrap.wrap(text, max(width - first - GAP, LEAST_COLUMN), break_on_hyphens=False)
    fits = len(name) + GAP <= first
    if not fits:
        yield f"  {name}"
    for number, line in enumerate(lines):
        yield f"  {name if fits and number == 0 else '':<{first}}{line}"


def current_names(words: Sequence[str]) -> list[str]:
    """Replace options that were typed under an old name, with a warning."""
    now = []
    for word in words:
        flag, equals, value = word.partition("=")
        new = RENAMED_OPTIONS.get(flag)
        if new is not None:
            sys.stderr.write(f"loadtest: {flag} is now {new}; the next version will not know it\n")
        now.append(word if new is None else f"{new}{equals}{value}")
    return now

"""Options that several commands have, in the same words. Used while commands are declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MOST_THREADS = 1024  # as PHEYE_THREADS; torch ends the process, without a word, at some millions
THREADS = Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="CPU threads; 0 takes every core.")]
REVISION = Annotated[str | None, typer.Option(help="Hub revision (commit, tag or branch).")]
AS_JSON = Annotated[bool, typer.Option("--json", help="Exact numbers for programs.")]
IMAGES = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the images are.")]
API_KEY_FILE = Annotated[
    Path | None, typer.Option(metavar="FILE", help="With --server: a file that holds nothing but the API key.")
]

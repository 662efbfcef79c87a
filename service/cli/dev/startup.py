"""`pheye dev startup`: how long `pheye serve` takes to start, as a row of a table. Main thread only."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from statistics import median
from typing import Annotated

import typer

from service.cli.options.dataclass_options import options
from service.cli.options.flags import fail, read_settings, setting_flags
from service.cli.options.model_names import check_model

SETTINGS = ("model", "revision", "devices", "dtype", "threads")


@options(setting_flags(*SETTINGS))
def startup(
    turns: Annotated[int, typer.Option(min=1, help="Starts that are measured, after one that is not.")] = 5,
    cold: Annotated[
        bool, typer.Option("--cold", help="Drop the weights from the page cache before each start.")
    ] = False,
    **flags: str | None,
) -> None:
    """Start the server again and again, and time its first answers."""
    settings = read_settings(flags)
    check_model(settings.model, settings.revision)
    from service.bench.startup import start_times

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the server would stay
    words = [word for name in SETTINGS if (typed := flags[name]) is not None for word in (f"--{name}", typed)]
    try:
        prepared = settings.prepared_weights_folder
        starts = [start_times(words, settings.model, prepared, cold=cold) for _ in range(turns + 1)][1:]
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error))
    typer.echo("| model | dtype | page cache | `/livez` | `/readyz` | loading, s | largest process |")
    typer.echo("|---|---|---|---|---|---|---|")
    seconds = [_spread([getattr(each, name) for each in starts]) for name in ("alive_s", "ready_s", "load_s")]
    peak = f"{median(each.peak_bytes for each in starts) / 1e9:.1f} GB"
    cells = [settings.model, settings.dtype, "cold" if cold else "warm", *seconds, peak]
    typer.echo(f"| {' | '.join(cells)} |")


def _spread(values: Sequence[float]) -> str:
    """Write a median with the least and the most around it.

    >>> _spread([1.0, 3.0, 2.0])
    '2.0 (1.0 to 3.0)'
    """
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"

"""The work of `pheye dev gpu`: run, report, exit code. Main thread only."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import typer

from model.provenance import commit
from service.bench.gpu.report.files import MARKDOWN_FILE, GpuReport
from service.bench.gpu.run import GpuRunOptions, run

EXIT_WRONG = 1
SHOWN_CHARS = 11_000  # of the report's end; what follows a run is often cut


def carry_out(order: GpuRunOptions) -> int:
    """Run everything, print the report, and return the exit code: 1 if a check failed or something was lost.

    Raises:
        OSError: the report cannot be written.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    report = run(order, _tell)
    text = report.text
    typer.echo(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + f"\n... the rest is in {MARKDOWN_FILE}")
    typer.echo(_verdict(order.folder, report))
    return EXIT_WRONG if report.wrong else 0


def source_commit() -> str:
    """Return the git commit that is checked out."""
    return commit(Path(__file__).parent)


def _verdict(folder: Path, report: GpuReport) -> str:
    done = sum(each.state == "done" for each in report.outcomes)
    return (
        f"pheye: {done} of {len(report.outcomes)} items done, {len(report.wrong)} wrong, crashed or hanging; {folder}"
    )


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(line: str) -> None:
    typer.echo(f"pheye: {line}", err=True)

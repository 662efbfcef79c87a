"""`pheye dev gpu`: the options of the checks and measurements on a GPU. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.options.flags import fail, fail_for

GEOMETRIES = "random:Pheye-x4-448,random:Pheye-x2-672,random:Pheye-x4-672,random:Pheye-x2-448"
GOLDEN = Path("tests/golden")


def gpu(
    report: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the report goes.")] = Path("gpu-report"),
    minutes: Annotated[float, typer.Option(min=0.2, help="For everything; parts shrink to fit.")] = 6.0,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="cpu rehearses it.")] = "cuda",
    models: Annotated[
        str, typer.Option(metavar="LIST", help="Whose speed is measured; the first is served.")
    ] = GEOMETRIES,
    golden: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="More golden cases, several times.")
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="machine, correctness, speed, profile, products, engine, load, kill, soak, baseline.",
        ),
    ] = "",
    commit: Annotated[str, typer.Option(help="Of the source, where there is no repository to ask.")] = "",
) -> None:
    """Check and measure the fast path and the service on a GPU, in one go."""
    from model.runtime.hardware import resolve_device
    from service.bench.gpu.command import carry_out, source_commit
    from service.bench.gpu.run import GpuRunOptions, part_names

    try:
        resolve_device(device)
    except ValueError as error:
        fail(str(error).replace("devices:", "--device:"))
    wanted = tuple(part for part in only.split(",") if part)
    if unknown := set(wanted) - set(part_names()):
        fail(f"--only: there is no part {min(unknown)!r}; there are {', '.join(part_names())}")
    folders = [GOLDEN, *(golden or [])]
    order = GpuRunOptions(
        folder=report.absolute(),
        device=device,
        models=tuple(models.split(",")),
        golden=tuple(str(each) for each in _golden(folders)),
        seconds=60.0 * minutes,
        only=wanted,
        commit=commit or source_commit(),
    )
    try:
        raise typer.Exit(carry_out(order))
    except OSError as error:
        fail_for(error)


def _golden(folders: list[Path]) -> list[Path]:
    """List every folder with golden cases, whether it was named or holds several; of two with one name the first."""
    found: dict[str, Path] = {}
    for folder in folders:
        inner = sorted(folder.iterdir()) if folder.is_dir() else []
        for each in [folder, *inner]:
            if (each / "cases.json").is_file():
                found.setdefault(each.resolve().name, each.absolute())
    return list(found.values())

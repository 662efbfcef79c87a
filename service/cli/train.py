"""`pheye train`: the options of a training run, and a bar that shows its progress.

Owns the words and the display; the training is `model.training.run`, imported only when a command runs. Under
`accelerate launch` every process runs the command, and one of them shows and writes. Main thread only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from service.cli.flags import fail, fail_for
from service.cli.model_names import check_model
from service.cli.options import options

if TYPE_CHECKING:
    from model.training.recipe import Recipe
    from model.training.run import TrainingRun

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
EXTRA = "training needs more packages: pip install 'pheye-service[train]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The options of `pheye train`; the field order is the order of its help."""

    model: Annotated[str, typer.Option(help="What to start from: a checkpoint folder or a hub id.")]
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE", help="A manifest, or `scenes` or `signs`; several times: one for each stage, in order."
        ),
    ]
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="The run's folder; the model goes to FOLDER/model.")]
    recipe: Annotated[str, typer.Option(help="finetune, paper, pheye-tiny or pheye-tiny-level-3.")] = "finetune"
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in FOLDER, if there is one.")] = False
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew what Pheye trains.")] = False
    level: Annotated[
        int | None, typer.Option(help="Local tiles along each side of an image; by default the checkpoint's own.")
    ] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each stage, instead of the recipe's.")] = None
    epochs: Annotated[float | None, typer.Option(help="Passes over the data in each stage; default 1.")] = None
    learning_rate: Annotated[float | None, typer.Option(help="Of each stage, instead of the recipe's.")] = None
    batch: Annotated[int | None, typer.Option(min=1, help="Images of a step, over all processes; default 128.")] = None
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Images of a forward pass; fewer take less memory.")
    ] = None
    turns: Annotated[int | None, typer.Option(min=1, help="Turns of an image in a step; default 1.")] = None
    seed: Annotated[int | None, typer.Option(help="Of the order of the data and of new weights; default 0.")] = None
    checkpoint_steps: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints; default 500.")] = None
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="auto is bfloat16 where the hardware has it.")
    ] = "auto"
    compiled: Annotated[bool, typer.Option("--compile", help="A minute to start, then faster.")] = False
    recompute: Annotated[bool, typer.Option("--gradient-checkpointing", help="Less memory, about a third slower.")] = (
        False
    )
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare images ahead.")] = 1
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes every core.")] = 0
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Of the weights that are written; by default as they came."),
    ] = None
    published: Annotated[bool, typer.Option("--published", help="Write the published checkpoints' layout.")] = False
    revision: Annotated[str | None, typer.Option(help="Hub revision (commit, tag or branch).")] = None


@options(TrainOptions)
def train(**typed: Any) -> None:
    """Train what Pheye trains on your own images; can be interrupted and resumed."""
    words = TrainOptions(**typed)
    try:
        run = _opened(words)
        code = _followed(run)
        if code == 0:
            folder = run.finish(words.dtype, published=words.published)
            if run.is_main:
                typer.echo(f"{folder}")
    except ModuleNotFoundError as error:
        fail(f"{error}; {EXTRA}")
    except (ValueError, OSError) as error:
        fail_for(error, _in_short(error))
    raise typer.Exit(code)


def _opened(words: TrainOptions) -> TrainingRun:
    check_model(words.model, words.revision)
    wait_passively()
    from model.training.run import ComputeOptions, StartingPoint, TrainingRun

    return TrainingRun(
        StartingPoint(words.model, words.revision, words.fresh, words.level),
        tuple(words.data),
        _recipe(words),
        words.output,
        ComputeOptions(words.precision, words.compiled, words.recompute, words.workers, words.threads),
        resume=words.resume,
    )


def wait_passively() -> None:
    """Let compute threads sleep while they wait; call this before torch is imported, which reads it.

    Threads that wait for each other busily stop each other wherever the cores have other work too: ten times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _recipe(words: TrainOptions) -> Recipe:
    from model.training.recipe import changed, named_recipe

    whole = {"turns_per_image": words.turns}
    whole |= {name: getattr(words, name) for name in ("batch", "micro_batch", "seed", "checkpoint_steps")}
    stage = {name: getattr(words, name) for name in ("steps", "epochs", "learning_rate")}
    return changed(named_recipe(words.recipe), whole, stage)


def _followed(run: TrainingRun) -> int:
    """Train to the end with a bar, and return the exit code."""
    from service.cli.training_bar import TrainingBar

    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not run.is_main)
    try:
        with TrainingBar(console, done=run.done, total=run.total) as bar:
            for report in run.steps():
                bar.show(report)
    except KeyboardInterrupt:
        console.print("pheye: interrupted; the same command with --resume goes on from the last checkpoint")
        return EXIT_INTERRUPTED
    except ArithmeticError as error:
        console.print(f"pheye: {error}", markup=False)
        return EXIT_FAILED
    return 0


def _in_short(error: Exception) -> str:
    """Shorten a message that a loader's worker sent to its last line, without the worker's stack."""
    text = str(error).strip()
    last = text.splitlines()[-1] if text else type(error).__name__
    return last.partition(": ")[2] or last if text.startswith("Caught ") else text

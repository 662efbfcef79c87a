"""`pheye train`: the options of a training run, and a bar that shows its progress.

Owns the options and the exit codes; the training is `model.training.run`, imported only when a command runs. Under
`torchrun` every process runs the command, and one of them shows and writes. Main thread only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from service.cli.options.dataclass_options import options
from service.cli.options.flags import fail, fail_for
from service.cli.options.model_names import check_model
from service.cli.options.shared_options import REVISION, THREADS
from service.cli.stop_signals import StopSignals
from service.cli.training.words import command_to_go_on, show_outcome, show_pace, show_plan
from service.machine.load import machine_load

if TYPE_CHECKING:
    from model.training.planning.data import TrainingData
    from model.training.recipe import Recipe
    from model.training.run import StartingPoint, TrainingRun

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
LESS_MEMORY = "with a smaller --micro-batch, or --gradient-checkpointing, a run takes less and learns the same"
EXTRA = "training needs more packages: pip install 'pheye-service[train]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The options of `pheye train`; the field order is the order of its help."""

    model: Annotated[str, typer.Option(help="What to start from: a checkpoint folder or a hub id.")]
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="A manifest, or `scenes`, `signs`, `truthful:FOLDER` or `things:FOLDER`; several times: one for each "
            "stage, in order.",
        ),
    ]
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="The run's folder; the model goes to FOLDER/model.")]
    recipe: Annotated[
        str,
        typer.Option(
            help="finetune suits itself to the number of your images; paper is the paper's; or pheye-tiny, "
            "pheye-tiny-level-3, pheye-tiny-truthful, pheye-tiny-whole."
        ),
    ] = "finetune"
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen and how long it takes, and do nothing.")
    ] = False
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|FILE",
            help="Images to validate on: a share as 20%, a manifest of other images, or 0; by default a tenth of "
            "your own, at least 5, or a quarter of 10 to 19.",
        ),
    ] = None
    rehearse: Annotated[
        Literal["auto", "none", "scenes", "signs"],
        typer.Option(
            help="Stream that one image in four is taken from, so that the model forgets less; auto is what it was "
            "taught from, if its record names that, and none for the other recipes."
        ),
    ] = "auto"
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many validations without a better one; 0 never does.")
    ] = 0
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in FOLDER, if there is one.")] = False
    export: Annotated[
        bool,
        typer.Option(
            "--export",
            help="Write the model of the last checkpoint of the run in FOLDER to FOLDER/model-STEPS; no more.",
        ),
    ] = False
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin the weights anew that Pheye trains; not a run in FOLDER.")
    ] = False
    level: Annotated[
        int | None, typer.Option(help="Local tiles along each side of an image; by default the checkpoint's own.")
    ] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each stage, instead of the recipe's.")] = None
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the data in each stage, instead of the recipe's.")
    ] = None
    learning_rate: Annotated[float | None, typer.Option(help="Of each stage, instead of the recipe's.")] = None
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images of a step, over all processes; at most 128 by default.")
    ] = None
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Images of a forward pass; fewer take less memory.")
    ] = None
    turns: Annotated[int | None, typer.Option(min=1, help="Turns of an image in a step, instead of the recipe's.")] = (
        None
    )
    seed: Annotated[int | None, typer.Option(help="Of the order of the data and of new weights; default 0.")] = None
    checkpoint_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints; by default ten in a run, 500 at most.")
    ] = None
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="auto is bfloat16 where the hardware has it.")
    ] = "auto"
    compiled: Annotated[bool, typer.Option("--compile", help="A minute to start, then faster.")] = False
    recompute: Annotated[bool, typer.Option("--gradient-checkpointing", help="Less memory, about a third slower.")] = (
        False
    )
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that prepare images ahead; default 1, beside a GPU every core but one."),
    ] = None
    threads: THREADS = 0
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Of the weights that are written; by default as they came."),
    ] = None
    published: Annotated[bool, typer.Option("--published", help="Write the published checkpoints' layout.")] = False
    revision: REVISION = None


@options(TrainOptions)
def train(**typed: Any) -> None:
    """Train what Pheye trains on your own images, validate it, and write the best; can be interrupted and resumed."""
    words = TrainOptions(**typed)
    try:
        code = _trained(words)
    except ModuleNotFoundError as error:
        fail(f"{error}; {EXTRA}")
    except (ValueError, OSError) as error:
        fail_for(error, _in_short(error))
    except ArithmeticError as error:
        typer.echo(f"pheye: {error}", err=True)
        code = EXIT_FAILED
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; nothing but a run imports that
            raise
        first = str(error).partition("\n")[0]
        typer.echo(f"pheye: memory ran out ({first}); {LESS_MEMORY}: {command_to_go_on()}", err=True)
        code = EXIT_FAILED
    except KeyboardInterrupt:
        typer.echo(f"pheye: interrupted; this goes on from the last checkpoint: {command_to_go_on()}", err=True)
        code = EXIT_INTERRUPTED
    raise typer.Exit(code)


def _trained(words: TrainOptions) -> int:
    """Plan, train, write, and return the exit code."""
    from service.cli.training.bar import TrainingBar

    if words.export and words.dry_run:
        fail("--export, --dry-run: only one of the two")
    load = machine_load()
    run = _opened(words)
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not run.is_main)
    if words.export:
        return _exported(console, run, words)
    with StopSignals(run.stop) as signals:
        plan, left = run.plan(), run.done < run.total
        show_plan(console, plan, words.model, words.output)
        pace = run.pace() if left and not signals.received else None
        if pace is not None:
            show_pace(console, plan, pace, load)
        if words.dry_run:
            return signals.exit_code
        with TrainingBar(console, done=run.done, total=run.total, validations=plan.validations, pace=pace) as bar:
            for report in run.steps():
                bar.show(report)
        if run.stopped:
            return _stopped(console, run, signals)
    _tell_what_stays(console, run.model_folder())
    folder = run.finish(words.dtype, published=words.published)
    show_outcome(console, run.outcome(), words.model, folder)
    if run.is_main:
        typer.echo(f"{folder}")
    return 0


def _exported(console: Console, run: TrainingRun, words: TrainOptions) -> int:
    if not run.kept:
        fail(f"--export: there is no checkpoint of this run in {words.output}")
    _tell_what_stays(console, run.model_folder(unfinished=True))
    folder = run.finish(words.dtype, published=words.published, unfinished=True)
    console.print(
        f"pheye: the model after step {run.kept} of {run.total}; without --export the run goes on", markup=False
    )
    if run.is_main:
        typer.echo(f"{folder}")
    return 0


def _tell_what_stays(console: Console, folder: Path) -> None:
    if folder.exists():
        console.print(
            f"pheye: {folder} was there already and stays as it is; delete it to have it written anew", markup=False
        )


def _stopped(console: Console, run: TrainingRun, signals: StopSignals) -> int:
    console.print(
        f"pheye: stopped by {signals.name} with a checkpoint after step {run.kept} of {run.total}; this goes on from "
        f"there: {command_to_go_on()}",
        markup=False,
    )
    return signals.exit_code


def _opened(words: TrainOptions) -> TrainingRun:
    check_model(words.model, words.revision)
    wait_passively()
    from model.training.compute import ComputeOptions
    from model.training.planning.data import read_data
    from model.training.run import StartingPoint, TrainingRun

    data = read_data(tuple(words.data), words.validation, held_out_by_default=words.recipe == "finetune")
    if words.patience and data.validation is None:
        fail("--patience: no image is held out, so nothing tells when to stop; add --validation 20% or a manifest")
    start = StartingPoint(words.model, words.revision, words.fresh, words.level)
    data = replace(data, rehearsal=_rehearsal(words, data, start))
    return TrainingRun(
        start,
        data,
        _recipe(words, data),
        words.output,
        ComputeOptions(words.precision, words.compiled, words.recompute, words.workers, words.threads),
        resume=words.resume or words.export,
        patience=words.patience,
    )


def wait_passively() -> None:
    """Let compute threads sleep while they wait; call this before torch is imported, which reads it.

    Threads that wait for each other busily stop each other wherever the cores have other work too: ten times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _rehearsal(words: TrainOptions, data: TrainingData, start: StartingPoint) -> str | None:
    from model.training.planning.data import rehearsal_of
    from model.training.run import earlier_record

    if words.rehearse != "auto":
        return None if words.rehearse == "none" else words.rehearse
    suits = words.recipe == "finetune" and data.is_own and not words.fresh
    return rehearsal_of(earlier_record(start)) if suits and find_spec("easy_vqa") else None


def _recipe(words: TrainOptions, data: TrainingData) -> Recipe:
    from model.checkpoint.checkpoint import read_config
    from model.training.planning.defaults import Asked, suited
    from model.training.recipe import changed, named_recipe

    recipe = named_recipe(words.recipe)
    whole = {"turns_per_image": words.turns}
    whole |= {name: getattr(words, name) for name in ("batch", "micro_batch", "seed", "checkpoint_steps")}
    stage = {name: getattr(words, name) for name in ("steps", "epochs", "learning_rate")}
    asked = changed(recipe, whole, stage)  # refuses what cannot be used before anything is computed from it
    if recipe.name != "finetune" or not data.is_own:
        return asked
    width = read_config(words.model, words.revision).decoder.width
    numbers = Asked(words.batch, words.steps, words.epochs)
    return changed(changed(recipe, *suited(recipe, data.images, data.turns, width, numbers)), whole, stage)


def _in_short(error: Exception) -> str:
    """Shorten a message that a loader's worker sent to its last line, without the worker's stack."""
    text = str(error).strip()
    last = text.splitlines()[-1] if text else type(error).__name__
    return last.partition(": ")[2] or last if text.startswith("Caught ") else text

"""Words of `pheye train` on the terminal: what will happen, how long it takes, and what came of it.

Knows plans and reports, not how they are made. Main thread only.
"""

from __future__ import annotations

import os
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from model.training.artifacts.journal import ValidationReport
    from model.training.planning.pace import Pace
    from model.training.planning.plan import TrainingPlan
    from model.training.run import TrainingOutcome
    from service.machine.load import MachineLoad

_GB = 1e9
_ENOUGH_IMAGES = 50  # held out: all right, they leave 6 % of doubt


def show_plan(console: Console, plan: TrainingPlan, model: str, output: Path) -> None:
    """Print what a run will do, and what may go wrong with it."""
    rows = {
        "model": f"{model} into {output / 'model'}",
        "learns from": _learns_from(plan),
        "validates on": _validates_on(plan),
        "steps": _steps(plan),
        "learning rate": ", then ".join(f"{stage.learning_rate:g}" for stage in plan.stages)
        + ", after a short rise, down to 0",
        "trains": f"{plan.trained_parameters / 1e6:,.1f} million numbers, in {plan.dtype} on the {plan.device}",
        "memory": f"at least {_size(plan.state_bytes)} for weights, gradients and the optimizer",
    }
    for name, text in rows.items():
        console.print(f"{name:>13}  {text}", markup=False)
    for warning in plan.warnings():
        console.print(f"pheye: warning: {warning}", markup=False)


def show_pace(console: Console, plan: TrainingPlan, pace: Pace, load: MachineLoad) -> None:
    """Print how long a run takes, and with how much memory, as it was measured; and if other work made that longer.

    Args:
        console: standard error's.
        plan: of the run.
        pace: as it was measured.
        load: of the machine before that.
    """
    steps = f"{pace.step_s:.1f} s a step"
    validations = f", {pace.validation_s:.1f} s a validation" if plan.validations else ""
    left = in_words(pace.seconds(plan.total - plan.done, plan.validations))
    console.print(f"{'time':>13}  about {left}: {steps}{validations}, measured here just now", markup=False)
    busy = load.warning() if plan.device == "cpu" else None
    if busy is not None:
        console.print(f"{'':>13}  {busy}", markup=False)
    console.print(f"{'used so far':>13}  {_size(pace.peak_bytes)} of memory, by this process", markup=False)


def show_outcome(console: Console, outcome: TrainingOutcome, model: str, folder: Path) -> None:
    """Print what a run was good for, and how to serve it."""
    start, best = outcome.start, outcome.best
    if start is not None and best is not None:
        console.print(f"pheye: {compared(start, best)}", markup=False)
        if not best.better_than(start):
            console.print(
                f"pheye: the trained model is no better than {model}, which it started from: keep that one. More "
                "pictures, more --epochs or another --learning-rate may help",
                markup=False,
            )
        worth = worth_of_few(best.images)
        if worth is not None:
            console.print(f"pheye: {worth}", markup=False)
    console.print(f"pheye: serve it with: pheye serve --model {shlex.quote(str(folder))}", markup=False)


def compared(start: ValidationReport, best: ValidationReport) -> str:
    """Say how good a model was before and is now.

    >>> from model.training.artifacts.journal import ValidationReport
    >>> start = ValidationReport(0, 5.0, 0.1, 0.12, 0.0, "words right", 5, 5, 1.0)
    >>> compared(start, ValidationReport(90, 0.4, 0.9, 0.86, 0.6, "words right", 5, 5, 1.0, best=True))
    'words right 12 % before, now 86 % (after step 90, 3 of 5 word for word); loss 5.00, now 0.40; on 5 held-out images'
    """
    exact = (
        "" if best.metric == "exact match" else f", {round(best.exact * best.answers)} of {best.answers} word for word"
    )
    return (
        f"{best.metric} {share(start.score)} before, now {share(best.score)} (after step {best.done}{exact}); "
        f"loss {start.loss:.2f}, now {best.loss:.2f}; on {best.images} held-out images"
    )


def worth_of_few(images: int) -> str | None:
    """Say what a score of a few held-out images is worth; None if they are enough.

    The bound is the binomial's: were more of all pictures answered wrongly, one of these would have been too, with
    95 % probability.

    >>> worth_of_few(5).partition(". ")[0]
    '5 held-out images are few: each is 20 % of the score, and if all are right, up to 45 % of others may not be'
    """
    if images >= _ENOUGH_IMAGES:
        return None
    return (
        f"{images} held-out image{'s are' if images > 1 else ' is'} few: each is {share(1 / images)} of the score, and "
        f"if all are right, up to {share(1 - 0.05 ** (1 / images))} of others may not be. More pictures teach "
        "more and say more; --validation 20% or --validation FILE holds more of them out"
    )


def share(value: float) -> str:
    """Write a share in per cent."""
    return f"{100 * value:.0f} %"


def in_words(seconds: float) -> str:
    """Write a duration as a person says it.

    >>> in_words(8), in_words(200), in_words(9000), in_words(200_000)
    ('8 s', '3 min', '2 h 30 min', '2 days 7 h')
    """
    whole = timedelta(seconds=round(seconds))
    hours, minutes = whole.seconds // 3600, round(whole.seconds % 3600 / 60)
    if whole.days:
        return f"{whole.days} day{'s' if whole.days > 1 else ''} {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"


def command_to_go_on() -> str:
    """Return the command that goes on with the run of this process."""
    words = ["pheye", *sys.argv[1:], *([] if "--resume" in sys.argv else ["--resume"])]
    several = "under torchrun, as before: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    return several + shlex.join(words)


def _learns_from(plan: TrainingPlan) -> str:
    names = ", then ".join(plan.data.names)
    own = f": {plan.data.images:,} images, {plan.data.turns:,} turns" if plan.data.own else ""
    from model.training.batches import REHEARSED_EVERY

    rehearsal = plan.data.rehearsal
    return names + own + (f"; one image in {REHEARSED_EVERY} is of {rehearsal}, to forget less" if rehearsal else "")


def _validates_on(plan: TrainingPlan) -> str:
    source = plan.data.validation
    if source is None:
        return "nothing"
    every = "step" if plan.validate_every == 1 else f"{plan.validate_every} steps"
    return f"{len(source):,} images that it does not learn from, before and after every {every}; the best is written"


def _steps(plan: TrainingPlan) -> str:
    looks = "" if plan.looks is None else f", each image {plan.looks:.3g} times"
    done = f"; {plan.done:,} are done" if plan.done else ""
    turns = plan.recipe.turns_per_image
    of = f" with up to {turns} turns" if turns > 1 else ""
    return f"{plan.total:,} of {plan.recipe.batch} images{of}, {plan.recipe.micro_batch} at once{looks}{done}"


def _size(size: float) -> str:
    return f"{size / _GB:.1f} GB" if size >= _GB / 10 else f"{size / 1e6:.0f} MB"

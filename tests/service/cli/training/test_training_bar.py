"""How far a training run is: where there is no terminal, lines; on one, a bar with rate and time left."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from model.training.artifacts.journal import ValidationReport
from model.training.planning.pace import Pace
from service.cli.training.bar import TrainingBar
from tests.model.training.artifacts.test_journal import report

VALIDATION = ValidationReport(0, 5.0, 0.1, 0.2, 0.2, "exact match", 5, 5, seconds=20.0)


def shown(seconds: dict[int, float], *, terminal: bool = False, before: int = 0) -> str:
    """Show steps, done at these seconds after a start at 0."""
    console = Console(file=StringIO(), force_terminal=terminal, width=200)
    now = [0.0]
    with TrainingBar(console, done=before, total=10, clock=lambda: now[0]) as bar:
        for done, second in seconds.items():
            now[0] = second
            bar.show(report(done))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_without_a_terminal_the_first_step_the_last_and_one_a_minute_are_lines() -> None:
    lines = shown({1: 5, 2: 10, 3: 64, 4: 65, 5: 100, 6: 126, 10: 130}).splitlines()
    assert [line.split(",")[0].removeprefix("stage I: ") for line in lines] == [
        f"step {done} of 10" for done in (1, 4, 6, 10)
    ]


def test_a_line_tells_loss_accuracy_rate_and_time_left() -> None:
    assert shown({2: 30}).strip() == "stage I: step 2 of 10, loss 0.500, 50% right, 20.0 images/s, 0:02:00 left"


def test_the_time_left_is_first_as_measured_and_then_as_it_goes_with_validations_to_come() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=200, highlight=False)
    now = [0.0]
    pace = Pace(step_s=6.0, validation_s=30.0, peak_bytes=1)
    with TrainingBar(console, 0, 10, validations=3, pace=pace, clock=lambda: now[0]) as bar:
        assert [task.fields["now"] for task in bar._progress.tasks] == ["0:02:30 left"]
        now[0] = 20.0
        bar.show(VALIDATION)
        now[0] = 30.0
        bar.show(report(1))
        assert (
            bar._progress.tasks[0].fields["now"].endswith(", 0:02:10 left")
        )  # nine steps of 10 s, two validations of 20 s
        bar.show(replace(VALIDATION, done=1, score=0.5, best=True))
    assert isinstance(console.file, StringIO)
    assert "validation before the first step: exact match 20 %, loss 5.00" in console.file.getvalue()
    assert "validation after step 1: exact match 50 %, loss 5.00, the best so far" in console.file.getvalue()


def test_the_time_left_counts_only_what_this_process_did() -> None:
    assert shown({8: 30}, before=6).strip().endswith("0:00:30 left")


def test_a_terminal_gets_a_bar_that_ends_full() -> None:
    text = shown({1: 1, 10: 10}, terminal=True)
    assert "10/10" in text
    assert "loss 0.100, 50% right" in text

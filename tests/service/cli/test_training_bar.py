"""How far a training run is: where there is no terminal, lines; on one, a bar with rate and time left."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from service.cli.training_bar import TrainingBar
from tests.model.training.test_journal import report


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


def test_the_time_left_counts_only_what_this_process_did() -> None:
    assert shown({8: 30}, before=6).strip().endswith("0:00:30 left")


def test_a_terminal_gets_a_bar_that_ends_full() -> None:
    text = shown({1: 1, 10: 10}, terminal=True)
    assert "10/10" in text
    assert "loss 0.100, 50% right" in text

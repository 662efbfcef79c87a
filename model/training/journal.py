"""Metrics file of a run: one line of JSON for each step; a resumed run continues it.

Knows no tensors. Written by the main process alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from model.whole_files import naming, write_whole


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """Metrics of one optimizer step.

    Attributes:
        done: steps of the whole run, this one included.
        total: steps the whole run will have.
        stage: name of the stage.
        step: of the stage, from 1.
        loss: mean cross-entropy of an output token, in nats.
        accuracy: share of output tokens that were the likeliest continuation.
        learning_rate: that was used.
        output_tokens: of the effective batch.
        gradient_norm: before clipping.
        images_per_s: over all processes, waiting for data included.
    """

    done: int
    total: int
    stage: str
    step: int
    loss: float
    accuracy: float
    learning_rate: float
    output_tokens: int
    gradient_norm: float
    images_per_s: float


class MetricsFile:
    """Metrics file of a run, open while it is a context.

    Args:
        path: JSON lines.
        done: steps the run continues from; lines beyond it were written by a run that died and are taken out.
    """

    def __init__(self, path: Path, done: int) -> None:
        kept = [report for report in read_journal(path) if report.done <= done]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(map(_line, kept)))
        self._path, self._file = path, path.open("a", encoding="utf-8", buffering=1)

    def write(self, report: TrainingStep) -> None:
        """Append a step."""
        with naming(self._path):
            self._file.write(_line(report))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with naming(self._path):  # it writes what a full disk has refused before
            self._file.close()


def read_journal(path: Path) -> list[TrainingStep]:
    """Read every whole line of a metrics file; a line that a kill cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [TrainingStep(**json.loads(line)) for line in lines if line.endswith("\n")]


def _line(report: TrainingStep) -> str:
    return json.dumps(asdict(report)) + "\n"

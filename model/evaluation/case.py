"""Cases: one question and its right answers, the form that every data set is turned into.

A new source of cases is a function that yields `Case`s; nothing else has to know of it. Pure data; any thread or
process.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "vqa10", "textvqa10", "cider", "exact", "words",
    "colour_shape", "background", "sign", "other_sign", "count", "several", "things", "thing", "outside", "refused",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """Question about one image.

    Attributes:
        id: names the case within its data set; stable, so that a run can be continued and two runs compared.
        image_path: the image's file.
        instruction: the words given to the model, response formatting prompt included.
        references: right answers, as people gave them; empty where the data set keeps them to itself.
        kind: how an answer is judged (`model/evaluation/scoring.py`).
        group: a part of the data set whose score is also given on its own; empty for none.
        area: share of the image that what the answer tells of takes, above 0 up to 1; None if nobody knows.
    """

    id: str
    image_path: Path
    instruction: str
    references: tuple[str, ...]
    kind: Kind
    group: str = ""
    area: float | None = None


def subset(cases: Sequence[Case], limit: int | None, seed: int) -> list[Case]:
    """Draw a random part of the cases, in their own order; the same for the same seed.

    Args:
        cases: all of them.
        limit: how many to take; None takes all.
        seed: which ones.
    """
    if limit is None or limit >= len(cases):
        return list(cases)
    chosen = random.Random(seed).sample(range(len(cases)), limit)  # noqa: S311 - repeatable, not secret
    return [cases[index] for index in sorted(chosen)]

"""Agreement of int8 with float32: the same questions of easy-VQA's test split, asked in both.

Owns which questions, and the comparison; they are asked as `pheye evaluate easy-vqa` asks them, by the same engine and
judged by the same metric. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from model.evaluation.case import Case, subset
from model.evaluation.formats.easy_vqa import read_easy_vqa
from model.evaluation.record import CaseAnswer
from model.evaluation.scoring import scores
from service.batch.offline import engine
from service.evaluation.run import Evaluation
from service.evaluation.token_limits import WORD_TOKENS
from service.settings import Settings

QUESTIONS, QUICK_QUESTIONS, SEED = 1_000, 300, 0
LEAST_SHARE = 0.99  # of int8's answers that should be float32's


@dataclass(frozen=True, slots=True)
class Agreement:
    """The share of a model's answers that are the same in int8 and in float32.

    Attributes:
        model: its name.
        questions: how many were asked, at least one.
        equal: how many got the same text in both formats.
        float32_score, int8_score: exact match with the data set's references, 0 to 100.
    """

    model: str
    questions: int
    equal: int
    float32_score: float
    int8_score: float

    @property
    def share(self) -> float:
        """Equal answers divided by all, 0 to 1."""
        return self.equal / self.questions

    @property
    def met(self) -> bool:
        """True if int8 changes few enough answers."""
        return self.share >= LEAST_SHARE

    def as_json(self) -> dict[str, Any]:
        """The fields, and the figures that follow from them."""
        return asdict(self) | {"share": self.share, "least_share": LEAST_SHARE, "met": self.met}


def draw_questions(count: int, seed: int = SEED) -> list[Case]:
    """Draw a number of the test split's questions, the same for the same seed.

    Raises:
        DataError: the package with the data set is not installed.
    """
    return subset(read_easy_vqa(), count, seed)


def measure_agreement(settings: Settings, cases: Sequence[Case]) -> Agreement:
    """Ask all questions twice of the model that the settings name; their number format does not matter.

    Args:
        settings: of an engine on one CPU.
        cases: at least one, with references.

    Raises:
        ValueError: the model cannot be used, or a question got no answer; the message says why.
        OSError: there is no room for the answers.
    """
    with TemporaryDirectory(prefix="pheye-agreement-") as folder:
        exact, quantised = (
            _answers(settings.model_copy(update={"dtype": dtype}), cases, Path(folder, f"{dtype}.jsonl"))
            for dtype in ("float32", "int8")
        )
    return compare(exact, quantised)


def compare(exact: Sequence[CaseAnswer], quantised: Sequence[CaseAnswer]) -> Agreement:
    """Compare int8's answers with float32's to the same cases in the same order, at least one."""
    return Agreement(
        model=exact[0].setup.model,
        questions=len(exact),
        equal=sum(one.answer == other.answer for one, other in zip(exact, quantised, strict=True)),
        float32_score=fmean(scores(exact)),
        int8_score=fmean(scores(quantised)),
    )


def _answers(settings: Settings, cases: Sequence[Case], results: Path) -> list[CaseAnswer]:
    """Answer every case, in their order."""
    asked = Evaluation("easy-vqa", cases, results, WORD_TOKENS)
    answerer = engine(settings, asked.answer_options)(Console(stderr=True, highlight=False, soft_wrap=True))
    with asked.open() as planned:
        plan = planned(answerer)
        with closing(answerer.run(plan.tasks)) as outcomes:
            for outcome in outcomes:
                if outcome.errors:
                    raise ValueError(f"agreement: {outcome.task.image}: {outcome.errors[0]}")
                plan.sink.add(outcome)
    return asked.answers

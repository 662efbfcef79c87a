"""Agreement of int8 or int4 with float32: the same questions of easy-VQA's test split, asked in both.

Owns which questions, and the comparison; they are asked as `pheye evaluate easy-vqa` asks them, by the same engine and
judged by the same metric. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from service.batch.answerers.offline import engine
from service.configuration.settings import Settings
from service.evaluation.run import Evaluation
from service.evaluation.token_limits import WORD_TOKENS

QUESTIONS, QUICK_QUESTIONS, SEED = 1_000, 300, 0
LEAST_SHARES: Mapping[str, float] = {"int8": 0.99, "int4": 0.98}  # of the answers that should be float32's


@dataclass(frozen=True, slots=True)
class Agreement:
    """The share of a model's answers that are the same in another number format and in float32.

    Attributes:
        model: its name.
        dtype: the other number format, `int8` or `int4`.
        questions: how many were asked, at least one.
        equal: how many got the same text in both formats.
        float32_score, score: exact match with the data set's references, 0 to 100.
    """

    model: str
    dtype: str
    questions: int
    equal: int
    float32_score: float
    score: float

    @property
    def share(self) -> float:
        """Equal answers divided by all, 0 to 1."""
        return self.equal / self.questions

    @property
    def least_share(self) -> float:
        """Wanted of `share` in this format."""
        return LEAST_SHARES[self.dtype]

    @property
    def met(self) -> bool:
        """True if the other format changes few enough answers."""
        return self.share >= self.least_share

    def as_json(self) -> dict[str, Any]:
        """The fields, and the figures that follow from them."""
        return asdict(self) | {"share": self.share, "least_share": self.least_share, "met": self.met}


def draw_questions(count: int, seed: int = SEED) -> list[Case]:
    """Draw a number of the test split's questions, the same for the same seed.

    Raises:
        DataError: the package with the data set is not installed.
    """
    return subset(read_easy_vqa(), count, seed)


def measure_agreement(settings: Settings, cases: Sequence[Case], dtype: str) -> Agreement:
    """Ask all questions twice of the model that the settings name; their number format does not matter.

    Args:
        settings: of an engine on one CPU.
        cases: at least one, with references.
        dtype: the format beside float32, `int8` or `int4`.

    Raises:
        ValueError: the model cannot be used, or a question got no answer; the message says why.
        OSError: there is no room for the answers.
    """
    with TemporaryDirectory(prefix="pheye-agreement-") as folder:
        exact, quantised = (
            _answers(settings.model_copy(update={"dtype": each}), cases, Path(folder, f"{each}.jsonl"))
            for each in ("float32", dtype)
        )
    return compare(exact, quantised, dtype)


def compare(exact: Sequence[CaseAnswer], quantised: Sequence[CaseAnswer], dtype: str) -> Agreement:
    """Compare another format's answers with float32's to the same cases in the same order, at least one."""
    return Agreement(
        model=exact[0].setup.model,
        dtype=dtype,
        questions=len(exact),
        equal=sum(one.answer == other.answer for one, other in zip(exact, quantised, strict=True)),
        float32_score=fmean(scores(exact)),
        score=fmean(scores(quantised)),
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

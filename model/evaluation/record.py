"""Answer to a case with everything needed to score it again: a line of a result file.

Owns the line's form. Files are written by `service/evaluation/case_results.py`; reading one for tables and plots is
here. Pure but for reading; any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from model.data.fields import DataError, Record, read_lines
from model.evaluation.case import Case, Kind


@dataclass(frozen=True, slots=True)
class EvaluationSetup:
    """Conditions under which the answers of a result file were given.

    Attributes:
        dataset: which cases were asked.
        model: name of the model.
        weights: fingerprint of its weights, empty if they were elsewhere.
        max_tokens: most tokens of an answer.
        shrink_px: side of the square that images were shrunk to first; 0 for as they are.
        attention: whether each answer says where the model looked.
        precision: number format it computed in, and how images were decoded; empty if that was elsewhere.
    """

    dataset: str
    model: str
    weights: str
    max_tokens: int
    shrink_px: int = 0
    attention: bool = False
    precision: str = ""


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """Case with the model's answer and the conditions it was given under.

    Attributes:
        case: what was asked.
        answer: what the model said.
        finish_reason: `stop`, or `length` for an answer that was cut.
        setup: the file's.
        global_shares: decoder layer -> share of its cross-attention on the global view; empty if nobody asked.
    """

    case: Case
    answer: str
    finish_reason: Literal["stop", "length"]
    setup: EvaluationSetup
    global_shares: Mapping[int, float] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """Return the JSON object of the answer's line; the image comes first."""
        case = asdict(self.case)
        image, shares = str(case.pop("image_path")), {str(key): value for key, value in self.global_shares.items()}
        said = {"answer": self.answer, "finish_reason": self.finish_reason}
        return {"image": image, **case, **said, **asdict(self.setup)} | ({"global_shares": shares} if shares else {})


def parse(line: Record) -> CaseAnswer:
    """Parse the answer on a line.

    Raises:
        DataError: it is none.
    """
    kind, reason = line.text("kind"), line.text("finish_reason")
    if kind not in get_args(Kind) or reason not in ("stop", "length"):
        raise DataError(f"{line.where}: kind {kind!r} or finish_reason {reason!r} is unknown")
    case = Case(
        id=line.text("id"),
        image_path=Path(line.text("image")),
        instruction=line.words("instruction"),
        references=line.texts("references") if line.values.get("references") else (),
        kind=kind,  # type: ignore[arg-type]
        group=line.words("group"),
        area=line.number("area") if line.has("area") else None,
    )
    setup = EvaluationSetup(
        line.text("dataset"),
        line.text("model"),
        line.words("weights"),
        line.whole("max_tokens"),
        line.whole("shrink_px"),
        line.flag("attention"),
        line.words("precision"),
    )
    shares = line.record("global_shares") if line.has("global_shares") else Record(line.where, {})
    if not all(layer.isascii() and layer.isdecimal() for layer in shares.values):
        raise DataError(f"{shares.where}: expected numbers of layers")
    by_layer = {int(layer): shares.number(layer) for layer in shares.values}
    return CaseAnswer(case, line.words("answer"), reason, setup, by_layer)  # type: ignore[arg-type]


def read_answers(file: Path) -> list[CaseAnswer]:
    """Read the answers in a finished result file, in its order; lines about failures are passed over.

    Raises:
        DataError: a line is no answer, or there is none at all.
        OSError: it cannot be read.
    """
    answers = [parse(line) for line in read_lines(file) if not line.has("error")]
    if not answers:
        raise DataError(f"{file}: there is no answer in it")
    return answers

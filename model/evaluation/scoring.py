"""From answers to scores: each kind's metric, the mean over a data set and its groups, the table.

All scores are 0 to 100 as papers print them, except that CIDEr may exceed 100 (it is ten times a mean of cosines, times
ten again). Pure; any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from model.evaluation.case import Kind
from model.evaluation.cider import cider_d
from model.evaluation.exact import colour_shape_match, count_match, exact_match, sign_match
from model.evaluation.vqa import text_vqa_accuracy, vqa_accuracy
from model.evaluation.words import caption_words

ALL = "all"
_EACH: Mapping[Kind, Callable[[str, Sequence[str]], float]] = {
    "vqa10": vqa_accuracy,
    "textvqa10": text_vqa_accuracy,
    "exact": exact_match,
    "colour_shape": colour_shape_match,
    "sign": sign_match,
    "count": count_match,
}
_NAMES: Mapping[Kind, str] = {
    "vqa10": "VQA accuracy",
    "textvqa10": "VQA accuracy (TextVQA)",
    "cider": "CIDEr-D",
    "exact": "exact match",
    "colour_shape": "colours and shapes",
    "sign": "signs read",
    "count": "counting",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """What scoring needs to know of a case and its answer; the fields are `Case`'s."""

    kind: Kind
    answer: str
    references: tuple[str, ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One line of the table: the mean of a metric over the cases of a group, 0 to 100."""

    metric: str
    group: str
    cases: int
    score: float


def scores(answered: Sequence[Answered]) -> list[float]:
    """The score of each answer, 0 to 100 and more for CIDEr-D, in their order.

    Raises:
        ValueError: a case has no reference.
    """
    captions = [index for index, each in enumerate(answered) if each.kind == "cider"]
    if any(not each.references for each in answered if each.kind != "colour_shape"):
        raise ValueError("an answer without references cannot be scored")
    ciders = cider_d(
        [caption_words(answered[index].answer) for index in captions],
        [[caption_words(each) for each in answered[index].references] for index in captions],
    )
    by_index = dict(zip(captions, ciders, strict=True))
    return [
        100.0 * (by_index[index] if each.kind == "cider" else _EACH[each.kind](each.answer, each.references))
        for index, each in enumerate(answered)
    ]


def table(answered: Sequence[Answered]) -> list[Score]:
    """The mean of every metric over all its cases, then over each group's, groups in alphabetical order.

    Captions of a group are scored among themselves, as the public evaluations of NoCaps do: how rare a phrase is, is
    then a matter of the group's references.
    """
    lines: list[Score] = []
    for kind in dict.fromkeys(each.kind for each in answered):
        ours = [each for each in answered if each.kind == kind]
        groups = sorted({each.group for each in ours} - {""})
        parts = {ALL: ours} | {group: [each for each in ours if each.group == group] for group in groups}
        lines += [Score(_NAMES[kind], name, len(part), fmean(scores(part))) for name, part in parts.items()]
    return lines

"""Scores of answers: each kind's metric, the mean over a data set and its groups, the table.

All scores are 0 to 100 as papers print them, except that CIDEr may exceed 100 (it is ten times a mean of cosines, times
ten again). Pure; any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from model.evaluation.case import Kind
from model.evaluation.metrics.cider import cider_d
from model.evaluation.metrics.exact import (
    background_match,
    colour_shape_match,
    count_match,
    exact_match,
    same_sentence,
    sign_match,
)
from model.evaluation.metrics.things import thing_match, things_match
from model.evaluation.metrics.vqa import text_vqa_accuracy, vqa_accuracy
from model.evaluation.metrics.word_f1 import word_f1
from model.evaluation.metrics.words import caption_words
from model.evaluation.record import CaseAnswer
from model.evaluation.targets import target_of

ALL = "all"
_EACH: Mapping[Kind, Callable[[str, Sequence[str]], float]] = {
    "vqa10": vqa_accuracy,
    "textvqa10": text_vqa_accuracy,
    "exact": exact_match,
    "words": word_f1,
    "colour_shape": colour_shape_match,
    "background": background_match,
    "sign": sign_match,
    "other_sign": sign_match,
    "count": count_match,
    "several": exact_match,
    "things": things_match,
    "thing": thing_match,
    "outside": same_sentence,
    "refused": same_sentence,
}
METRICS: Mapping[Kind, str] = {
    "vqa10": "VQA accuracy",
    "textvqa10": "VQA accuracy (TextVQA)",
    "cider": "CIDEr-D",
    "exact": "exact match",
    "words": "words right",
    "colour_shape": "colours and shapes",
    "background": "backgrounds in long captions",
    "sign": "signs read",
    "other_sign": "other signs read",
    "count": "counting",
    "several": "one shape of several",
    "things": "things in captions",
    "thing": "things named",
    "outside": "says it does not know",
    "refused": "own scenes refused",
}
WORD_FOR_WORD = "word for word"  # the share of answers judged by their words that match exactly
BOTH = f"{METRICS['exact']} and {METRICS['words']}"  # of one's own data with short and long answers


@dataclass(frozen=True, slots=True)
class Score:
    """Line of the table: the mean of a metric over the cases of a group, 0 to 100.

    `wanted` is pheye-tiny's target, and `met` whether it is reached, where there is one.
    """

    metric: str
    group: str
    cases: int
    score: float
    wanted: str | None = None
    met: bool | None = None


def scores(answers: Sequence[CaseAnswer]) -> list[float]:
    """Compute the score of each answer, 0 to 100 and more for CIDEr-D, in their order.

    Raises:
        ValueError: a case has no reference to be judged by.
    """
    for each in answers:
        if not each.case.references and each.case.kind != "colour_shape":
            raise ValueError(f"case {each.case.id} has no references: its answer cannot be judged here")
    ciders = iter(_ciders([each for each in answers if each.case.kind == "cider"]))
    return [100.0 * (next(ciders) if each.case.kind == "cider" else _alone(each)) for each in answers]


def _ciders(captions: Sequence[CaseAnswer]) -> list[float]:
    said = [caption_words(each.answer) for each in captions]
    return cider_d(said, [[caption_words(each) for each in caption.case.references] for caption in captions])


def _alone(answer: CaseAnswer) -> float:
    return _EACH[answer.case.kind](answer.answer, answer.case.references)


def table(answers: Sequence[CaseAnswer]) -> list[Score]:
    """Compute the mean of every metric over all its cases, then over each group's, groups in alphabetical order.

    A group `large / cut` is a part of the group `large`, which has a line too. Answers that are judged by their words
    have a line for those that are right word for word, and a line with the short ones where there are both.

    Captions of a group are scored among themselves, as the public evaluations of NoCaps do: how rare a phrase is, is
    then a matter of the group's references.

    Raises:
        ValueError: a case has no reference to be judged by.
    """
    lines: list[Score] = []
    for kind in dict.fromkeys(each.case.kind for each in answers):
        ours = [each for each in answers if each.case.kind == kind]
        groups = sorted({group for each in ours for group in _groups(each.case.group)})
        parts = {ALL: ours} | {group: [each for each in ours if group in _groups(each.case.group)] for group in groups}
        lines += [_line(METRICS[kind], name, part) for name, part in parts.items()]
        if kind == "words":
            exact = [replace(each, case=replace(each.case, kind="exact")) for each in ours]
            lines.append(_line(WORD_FOR_WORD, ALL, exact))
    own = [each for each in answers if each.case.kind in ("exact", "words")]
    if len({each.case.kind for each in own}) > 1:
        lines.append(_line(BOTH, ALL, own))
    return lines


def _groups(group: str) -> list[str]:
    """Return a group and those that it is a part of; none for a case without a group.

    >>> _groups("large / cut")
    ['large', 'large / cut']
    """
    parts = group.split(" / ") if group else []
    return [" / ".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _line(metric: str, group: str, part: Sequence[CaseAnswer]) -> Score:
    score, target = fmean(scores(part)), target_of(part[0].setup.dataset, metric, group)
    if target is None:
        return Score(metric, group, len(part), score)
    return Score(metric, group, len(part), score, str(target), target.met(score))

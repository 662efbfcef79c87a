"""VQA accuracy: how many of ten people gave the model's answer, after both are normalised the same way.

Two rules are in use and both are here. `vqa_accuracy` is the VQA challenge's own evaluation (Antol et al. 2015; the
VQAv2 column of arXiv 2501.02584, Table 1). `text_vqa_accuracy` is the one that TextVQA results are reported with
(the M4C evaluation), which also rewrites the reference answers. Oddities of the public implementations are kept, since
they are part of published numbers, and each is named where it is. Pure; any thread or process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

AGREEING = 3  # people besides oneself who make an answer entirely right

_COUNTED = "zero one two three four five six seven eight nine ten"
_NUMBERS = {word: str(number) for number, word in enumerate(_COUNTED.split())} | {"none": "0"}
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGITS_AROUND_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32  # the public code passes a flag of this value where the number of replacements belongs
_APOSTROPHISED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _misspellings(word: str) -> Iterator[str]:
    """Return the word without one of its apostrophes, each in turn."""
    return (word[: mark.start()] + word[mark.end() :] for mark in re.finditer("'", word))


_CONTRACTIONS = {wrong: word for word in _APOSTROPHISED.split() for wrong in _misspellings(word)}
_CONTRACTIONS["somebody'd"] = "somebodyd"  # the wrong way round in the public table


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """Compute the accuracy of one answer by the VQA challenge's rule, 0 to 1.

    Only where people disagree are their answers freed of punctuation, and their number words and articles stay: the
    challenge's annotations come without them.

    Args:
        answer: the model's.
        references: what the people said, ten in the public data sets.
    """
    said = list(references)
    if len(set(said)) > 1:
        said = [_without_punctuation(each) for each in said]
    return _leave_one_out(said.count(_normalised(answer)), len(said))


def text_vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """Compute the accuracy of one answer as TextVQA results are reported, 0 to 1.

    Answer and references are normalised the same way.

    Args:
        answer: the model's.
        references: what the people said, ten in the public data sets.
    """
    said = [_normalised(_loosened(each)) for each in references]
    return _leave_one_out(said.count(_normalised(_loosened(answer))), len(said))


def _leave_one_out(matches: int, people: int) -> float:
    """Compute the mean over everyone of min(1, others who agree / 3), where oneself is not among the others."""
    for_agreeing, for_disagreeing = (min(1.0, others / AGREEING) for others in (matches - 1, matches))
    return (matches * for_agreeing + (people - matches) * for_disagreeing) / people


def _normalised(text: str) -> str:
    """Normalise an answer: no punctuation or articles, number words as digits, apostrophes where they belong."""
    text = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _loosened(text: str) -> str:
    """Apply what the TextVQA rule does before anything else."""
    return text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()


def _without_punctuation(text: str) -> str:
    """Remove punctuation marks, or replace them by spaces.

    A mark that stands next to a space anywhere in the text is dropped, any other becomes a space. A comma between
    digits (1,000) drops all marks.
    """
    drop_all = _DIGITS_AROUND_COMMA.search(text) is not None
    cleaned = text
    for mark in _PUNCTUATION:
        dropped = drop_all or f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if dropped else " ")
    return _PERIOD.sub("", cleaned, count=_MOST_PERIODS)

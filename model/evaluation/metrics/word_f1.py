"""Word F1 (SQuAD's, Rajpurkar et al. 2016): how far the words of an answer are those of a reference.

For answers of several words where exact match says too little and a handful of cases is too few for CIDEr-D. Words are
cut as for the caption metrics. Pure; any thread or process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from model.evaluation.case import Kind
from model.evaluation.metrics.words import caption_words

SHORT_WORDS = 3  # an answer of no more words is right or wrong; of a longer one words are counted


def kind_by_length(reference: str) -> Kind:
    """Return how an answer is judged whose reference has so many words, in training and in evaluation alike.

    >>> kind_by_length("a red car"), kind_by_length("A drawing of a red car.")
    ('exact', 'words')
    """
    return "exact" if len(caption_words(reference)) <= SHORT_WORDS else "words"


def word_f1(answer: str, references: Sequence[str]) -> float:
    """Return the harmonic mean of the shares of common words in both, 0 to 1, for the reference that fits best.

    >>> word_f1("A red house.", ["a red house"]), word_f1("a red house", ["a blue boat", "a red boat"])
    (1.0, 0.6666666666666666)
    """
    said = Counter(caption_words(answer))
    return max((_f1(said, Counter(caption_words(each))) for each in references), default=0.0)


def _f1(said: Counter[str], right: Counter[str]) -> float:
    if not said or not right:
        return float(said == right)
    return 2 * (said & right).total() / (said.total() + right.total())

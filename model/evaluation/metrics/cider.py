"""CIDEr-D, a caption metric: agreement with people's captions, each n-gram weighted by tf-idf.

Source: Vedantam, Zitnick and Parikh 2015 (CIDEr-D), with the numbers of the public COCO caption evaluation: phrases of
one to four words, tf-idf over the references of the images at hand, counts clipped at the reference's, a Gaussian
penalty on the difference of lengths, ten times the mean. So a score depends on which images are scored together.
Knows no captions as text: `model/evaluation/metrics/words.py` makes words of them. Pure; any thread or process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

LONGEST = 4  # words of a phrase
SIGMA = 6.0  # of the length penalty
SCALE = 10.0

Words = Sequence[str]
Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Vector:
    """Caption as tf-idf weights of its n-grams and their norm, for each length of n-gram, with its number of words."""

    weights: tuple[dict[Phrase, float], ...]
    norms: tuple[float, ...]
    length: int


def cider_d(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Compute the score of each image's caption, 0 to 10.

    Args:
        candidates: the caption of each image, as words.
        references: what people said of each image, at least one caption, as words.

    Raises:
        ValueError: the two are not of the same length, or an image has no reference.
    """
    if len(candidates) != len(references) or not all(references):
        raise ValueError("every image needs one candidate and at least one reference")
    if not candidates:
        return []
    corpus = _Corpus(references)
    return [
        SCALE * sum(_similarity(corpus.vector(candidate), corpus.vector(each)) for each in those) / len(those)
        for candidate, those in zip(candidates, references, strict=True)
    ]


class _Corpus:
    """Number of images in whose references each n-gram occurs."""

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        self._log_images = log(len(references))
        self._containing = Counter(
            phrase for captions in references for phrase in {each for words in captions for each in _phrases(words)}
        )

    def vector(self, words: Words) -> _Vector:
        """Compute a caption's tf-idf weights."""
        weights: tuple[dict[Phrase, float], ...] = tuple({} for _ in range(LONGEST))
        for phrase, count in _phrases(words).items():
            rarity = self._log_images - log(max(1, self._containing[phrase]))
            weights[len(phrase) - 1][phrase] = count * rarity
        norms = tuple(sqrt(sum(weight**2 for weight in each.values())) for each in weights)
        # The public code counts pairs of words, one less than there are words; of a difference nothing is left of it,
        # except that a caption of no word is as long as one of one word.
        return _Vector(weights, norms, max(0, len(words) - 1))


def _phrases(words: Words) -> Counter[Phrase]:
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, LONGEST + 1)
        for start in range(len(words) - length + 1)
    )


def _similarity(candidate: _Vector, reference: _Vector) -> float:
    """Compute the clipped cosine, mean over the lengths of n-grams, times the length penalty."""
    total = 0.0
    for said, meant, said_norm, meant_norm in zip(
        candidate.weights, reference.weights, candidate.norms, reference.norms, strict=True
    ):
        if said_norm and meant_norm:
            shared = sum(
                min(weight, meant[phrase]) * meant[phrase] for phrase, weight in said.items() if phrase in meant
            )
            total += shared / (said_norm * meant_norm)
    difference = candidate.length - reference.length
    return total / LONGEST * exp(-(difference**2) / (2 * SIGMA**2))

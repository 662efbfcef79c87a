"""Validation of a model during training: loss on held-out images, and its answers about them, scored.

Answers are greedy, by the training passes, so that they need no second model in memory; what a served model answers is
the same but for rounding. Knows no optimizer and no files. Called by each training process's main thread, for its share
of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import PheyeConfig
from model.data.manifest import ManifestSource
from model.data.samples import Sample, Turn
from model.evaluation.metrics.exact import exact_match
from model.evaluation.metrics.word_f1 import kind_by_length, word_f1
from model.evaluation.scoring import BOTH, METRICS
from model.pixels.tiles import cut
from model.prompt import render
from model.tokenizer import TextTokenizer
from model.training.learner import Learner
from model.training.rows import NOTHING, PADDING, SHARED, row_of

_SPARE_SHORT, _SPARE_LONG = 4, 16  # tokens by which an answer may be longer than its reference
_TURNS_AT_ONCE = 4  # for each image of a forward pass, as in training: some images have hundreds


@dataclass(frozen=True, slots=True)
class ValidationSums:
    """Sums over held-out answers; those of several processes are added.

    Attributes:
        loss: cross-entropy over all output tokens, in nats.
        right: output tokens that were the likeliest continuation.
        tokens: output tokens.
        score: of each answer, 0 to 1.
        exact: answers that are right word for word.
        answers: their number.
    """

    loss: float = 0.0
    right: float = 0.0
    tokens: float = 0.0
    score: float = 0.0
    exact: float = 0.0
    answers: float = 0.0


@dataclass(slots=True)
class _Asked:
    """Turn about an image, and what has been answered so far."""

    place: int
    references: tuple[str, ...]
    prompt: list[int]
    label: list[int]
    said: list[int]

    @property
    def limit(self) -> int:
        return len(self.label) + (_SPARE_SHORT if _is_short(self.references[0]) else _SPARE_LONG)


class Validator:
    """Validator of one process.

    Args:
        learner: the model; its parameters are read at every call.
        config: its geometry.
        tokenizer: its tokenizer.
        source: the held-out images, with all their turns.
        images_at_once: images of a forward pass.
    """

    def __init__(
        self,
        learner: Learner,
        config: PheyeConfig,
        tokenizer: TextTokenizer,
        source: ManifestSource,
        images_at_once: int,
    ) -> None:
        self._learner, self._config, self._tokenizer = learner, config, tokenizer
        self.source, self.at_once = source, images_at_once

    def sums(self, numbers: Sequence[int], goes_on: Callable[[], bool] = lambda: True) -> Iterator[ValidationSums]:
        """Validate on some images, a few at a time; ends early where `goes_on` says no."""
        for start in range(0, len(numbers), self.at_once):
            if not goes_on():
                return
            yield self._sums([self.source[number] for number in numbers[start : start + self.at_once]])

    @torch.no_grad()
    def _sums(self, samples: Sequence[Sample]) -> ValidationSums:
        tile_px, level = self._config.vision.tile_px, self._config.level
        tiles = torch.stack([torch.from_numpy(cut(each.image.convert("RGB"), tile_px, level)) for each in samples])
        features = self._learner.features(tiles.to(self._learner.device))
        asked = [each for place, sample in enumerate(samples) for each in self._asked(place, sample)]
        loss, right, size = 0.0, 0, _TURNS_AT_ONCE * self.at_once
        for part in (asked[start : start + size] for start in range(0, len(asked), size)):
            lost, hit = self._forced(part, features)
            loss, right = loss + lost, right + hit
            self._answer(part, features)
        scores = [self._scores(each) for each in asked]
        tokens = sum(len(each.label) for each in asked)
        return ValidationSums(
            loss, right, tokens, sum(score for score, _ in scores), sum(exact for _, exact in scores), len(asked)
        )

    def _asked(self, place: int, sample: Sample) -> Iterator[_Asked]:
        """Yield the turns about an image; several responses to one instruction are references of one answer."""
        references: dict[str, list[str]] = {}
        for turn in sample.turns:
            references.setdefault(turn.instruction, []).append(turn.response)
        for instruction, responses in references.items():
            row = row_of([Turn(instruction, responses[0])], self._tokenizer, self._config.decoder.max_positions)
            label = [token for token in row.labels if token != NOTHING]
            yield _Asked(place, tuple(responses), self._tokenizer.encode(render(instruction)), label, [])

    def _forced(self, asked: Sequence[_Asked], features: Tensor) -> tuple[float, int]:
        """Sum loss and right tokens with the reference given word by word.

        What the model would have said up to its first other word, and that word, begins its own answer.
        """
        inputs = [each.prompt + each.label[:-1] for each in asked]
        hidden = self._hidden(inputs, asked, features)
        loss, right = 0.0, 0
        for row, each in enumerate(asked):
            logits = self._learner.read(hidden[row, len(each.prompt) - 1 : len(inputs[row])])
            labels = torch.tensor(each.label, device=logits.device)
            likeliest = logits.argmax(dim=-1)
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            same = (likeliest == labels).tolist()
            right += sum(same)
            each.said = likeliest[: [*same, False].index(False) + 1].tolist()
        return loss, right

    def _answer(self, asked: Sequence[_Asked], features: Tensor) -> None:
        """Finish the answers greedily."""
        while running := [each for each in asked if self._is_running(each)]:
            inputs = [each.prompt + each.said for each in running]
            hidden = self._hidden(inputs, running, features)
            last = torch.tensor([len(tokens) - 1 for tokens in inputs], device=hidden.device)
            chosen = self._learner.read(hidden[torch.arange(len(running), device=hidden.device), last])
            for each, token in zip(running, chosen.argmax(dim=-1).tolist(), strict=True):
                each.said.append(token)

    def _is_running(self, asked: _Asked) -> bool:
        fits = len(asked.prompt) + len(asked.said) < self._config.decoder.max_positions
        return asked.said[-1] != self._tokenizer.eos_id and len(asked.said) < asked.limit and fits

    def _hidden(self, rows: Sequence[list[int]], asked: Sequence[_Asked], features: Tensor) -> Tensor:
        """Compute the decoder's output for rows of tokens, padded on the right [B, T, D]."""
        length = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=features.device)
        turns = torch.tensor([[SHARED] * len(row) + [PADDING] * (length - len(row)) for row in rows])
        positions = torch.arange(length, device=features.device).expand_as(ids)
        seen = features[torch.tensor([each.place for each in asked], device=features.device)]
        return self._learner.hidden(ids, positions, turns.to(features.device), seen)

    def _scores(self, asked: _Asked) -> tuple[float, float]:
        said = asked.said[:-1] if asked.said[-1] == self._tokenizer.eos_id else asked.said
        answer = self._tokenizer.decode(said).strip()
        exact = exact_match(answer, asked.references)
        return exact if _is_short(asked.references[0]) else word_f1(answer, asked.references), exact


def metric_of(turns: Sequence[Sequence[Turn]]) -> str:
    """Return the name of the score that the held-out answers allow."""
    short = {_is_short(turn.response) for each in turns for turn in each}
    return BOTH if len(short) == 2 else METRICS["exact" if True in short else "words"]


def _is_short(response: str) -> bool:
    return kind_by_length(response) == "exact"

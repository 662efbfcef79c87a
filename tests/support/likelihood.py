"""What an answer's probability is by the naive twin: each token scored in a pass over everything before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.checkpoint.checkpoint import Checkpoint
from model.pixels.tiles import TiledImage
from model.prompt import render
from model.reference.naive import NaivePheye
from tests.support.golden import naive_twin


class Likelihood:
    """The naive twin of a checkpoint, asked for log-probabilities."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tokenizer = checkpoint.tokenizer
        self.twin: NaivePheye = naive_twin(checkpoint)

    @torch.inference_mode()
    def distributions(self, image: TiledImage, instruction: str, tokens: Sequence[int]) -> torch.Tensor:
        """Log-probabilities of all tokens in the place of each of these [tokens, vocab]."""
        vision = self.twin.vision_encoder
        features = vision(vision.pixels(torch.from_numpy(image.tiles)).unsqueeze(0))
        prompt = self.tokenizer.encode(render(instruction))
        logits = self.twin(torch.tensor([[*prompt, *tokens]]), features)[0, len(prompt) - 1 : -1]
        return logits.double().log_softmax(dim=-1)

    def of(self, image: TiledImage, instruction: str, tokens: Sequence[int]) -> list[float]:
        """Log-probability of each token."""
        found = self.distributions(image, instruction, tokens)
        return [float(found[place, token]) for place, token in enumerate(tokens)]

    def of_choices(self, image: TiledImage, instruction: str, choices: Sequence[str]) -> list[list[float]]:
        """Log-probability of each token of each choice, its end token included."""
        answers = [[*self.tokenizer.encode(f" {choice}"), self.tokenizer.eos_id] for choice in choices]
        return [self.of(image, instruction, answer) for answer in answers]

    def probabilities(self, image: TiledImage, instruction: str, choices: Sequence[str]) -> list[float]:
        """Probability of each choice, scored on its own, among the choices."""
        totals = [sum(logprobs) for logprobs in self.of_choices(image, instruction, choices)]
        return torch.tensor(totals, dtype=torch.float64).softmax(dim=0).tolist()

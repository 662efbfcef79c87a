"""Log-probabilities of chosen tokens, from the logits they were chosen from; they change no choice.

They are of the distribution that the model gives, before temperature and top_p, in float32. Pure; called by the
engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.choices import ChoiceTree
from model.request import ChosenChoice, Sampling, TokenLogprob
from model.runtime.sampling.host import choose


def token_logprobs(logits: Tensor, tokens: Sequence[int | None], tops: Sequence[int]) -> list[TokenLogprob]:
    """Return the log-probability of each row's token.

    Args:
        logits: [B, vocab].
        tokens: of each row; None for a failed one, whose numbers mean nothing.
        tops: how many alternatives each row is told.
    """
    logprobs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    places = torch.tensor([[token or 0] for token in tokens], device=logits.device)
    return with_top(logprobs.gather(-1, places)[:, 0].tolist(), logprobs, tops)


def with_top(chosen: Sequence[float], logprobs: Tensor, tops: Sequence[int]) -> list[TokenLogprob]:
    """Put the log-probability of each row's token beside those of its most probable tokens.

    Args:
        chosen: of each row's token.
        logprobs: of all tokens [B or more, vocab].
        tops: how many alternatives each row is told.
    """
    asked = [row for row, count in enumerate(tops) if count]
    told: list[tuple[tuple[int, float], ...]] = [()] * len(tops)
    if asked:
        most = min(max(tops), logprobs.shape[-1])
        best = logprobs[asked].topk(most, dim=-1)
        for row, values, tokens in zip(asked, best.values.tolist(), best.indices.tolist(), strict=True):
            told[row] = tuple(zip(tokens, values, strict=True))[: tops[row]]
    return [TokenLogprob(logprob, top) for logprob, top in zip(chosen, told, strict=True)]


def choose_choice(edges: Tensor, tree: ChoiceTree, sampling: Sampling) -> ChosenChoice | None:
    """Choose one of the choices of a row; None if its numbers are not finite.

    A choice's probability is that of its tokens and the end token, divided by the sum over all choices. Greedily the
    most probable one is taken, else one is drawn as a token would be. The sentence for pictures outside the model's
    world, where the tree has it, is never taken and counts in no probability.

    Args:
        edges: log-probability of each edge of the tree [edges].
        tree: the choices.
        sampling: how to choose.
    """
    logprobs = edges.double().cpu()
    if not torch.isfinite(logprobs).all():
        return None
    totals = torch.stack([logprobs[tree.edges_of(choice)].sum() for choice in range(len(tree.paths))])
    totals, sentence = totals[: tree.choices], totals[tree.choices :]
    (index,) = choose(totals.unsqueeze(0), [sampling], [0])
    assert index is not None
    return ChosenChoice(
        index,
        tree.tokens_of(index),
        tuple(logprobs[tree.edges_of(index)].tolist()),
        tuple(totals.softmax(dim=-1).tolist()),
        refused=bool((sentence > totals.max()).any()),
    )

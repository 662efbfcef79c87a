"""Tree attention: all choices of a row read behind its prompt in one pass of the decoder.

Each node of a tree sees the prompt, its ancestors and itself, and its position is the one it would have in its choice
alone; so its state is that of its choice alone (SpecInfer, Miao et al. 2024). Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.choices import ChoiceTree
from model.network.cross_attention import AttentionRecorder
from model.network.decoder import Decoder, TokenBatch
from model.network.slots import Slots

_SCORED_TOGETHER = 64  # tokens of trees whose logits are in memory at the same time


def tree_batch(
    slots: Slots,
    rows: Sequence[int],
    prompts: Sequence[Sequence[int]],
    starts: Sequence[int],
    trees: Sequence[ChoiceTree],
    recorder: AttentionRecorder | None,
) -> TokenBatch:
    """Build the batch of prompts from `starts` on with their trees; its ends are each tree's root and nodes in turn."""
    device = slots.keys.device
    asked = list(zip(prompts, starts, trees, strict=True))
    width = max(len(prompt) - start + len(tree) for prompt, start, tree in asked)
    reach = max(len(prompt) + len(tree) for prompt, _, tree in asked)
    lines = torch.tensor([_line(*each, width) for each in asked], device=device)
    ids, positions, places = lines.unbind(1)  # [B, T] each
    queries = [
        (row, len(prompt) - start - 1 + node)
        for row, (prompt, start, tree) in enumerate(asked)
        for node in range(len(tree) + 1)
    ]
    end_rows, end_columns = torch.tensor(queries, device=device).unbind(1)
    mask = torch.arange(reach, device=device) <= places.unsqueeze(-1)
    for row, (prompt, start, tree) in enumerate(asked):
        own = slice(len(prompt), len(prompt) + len(tree))
        mask[row, len(prompt) - start :, own] = _sight(tree, width - (len(prompt) - start)).to(device)
    return TokenBatch(
        rows=list(rows),
        row_index=torch.tensor(rows, device=device).unsqueeze(1),
        ids=ids,
        positions=positions,
        places=places,
        reach=reach,
        ends=(end_rows, end_columns),
        groups=slots.groups(rows),
        recorder=recorder,
        mask=mask,
    )


def _line(prompt: Sequence[int], start: int, tree: ChoiceTree, width: int) -> tuple[list[int], list[int], list[int]]:
    """Return tokens, positions and places of a prompt from `start` on and its tree.

    The last node is repeated to the full width, at its own place: behind it the slot may have none.
    """
    end = len(prompt)
    ids = [*prompt[start:], *tree.tokens]
    positions = [*range(start, end), *(end + depth for depth in tree.depths)]
    places = [*range(start, end + len(tree))]
    padding = width - len(ids)
    return ids + ids[-1:] * padding, positions + positions[-1:] * padding, places + places[-1:] * padding


def _sight(tree: ChoiceTree, width: int) -> Tensor:
    """Return which nodes each node sees, the last one repeated [width, nodes]."""
    seen = torch.from_numpy(tree.ancestry())
    return torch.cat([seen, seen[-1:].expand(width - len(tree), -1)])


def edge_logprobs(decoder: Decoder, states: Tensor, trees: Sequence[ChoiceTree]) -> list[Tensor]:
    """Return the log-probability of each tree's edges, float32 [edges].

    Args:
        decoder: whose output head makes logits.
        states: final states of each tree's root and nodes, tree after tree [Q, D].
        trees: the trees.
    """
    first, edges = 0, []
    for tree in trees:
        edges += [(first + query, token) for query, token in tree.edges]
        first += len(tree) + 1
    queries, tokens = torch.tensor(edges, device=states.device).unbind(1)
    found = torch.empty(len(edges), device=states.device)
    # Not all logits at once: a tree has as many rows of them as nodes.
    for start in range(0, len(states), _SCORED_TOGETHER):
        logits = decoder.logits(states[start : start + _SCORED_TOGETHER])
        logprobs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
        here = (queries >= start) & (queries < start + len(logits))
        found[here] = logprobs[queries[here] - start, tokens[here]]
    return list(torch.split(found, [len(tree) + len(tree.paths) for tree in trees]))

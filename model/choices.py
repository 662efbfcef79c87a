"""Trees of choices: the tokens of given answers, where what several of them begin with is read once.

The model reads a whole tree behind its prompt in one pass, and each choice's probability is that of its own tokens and
the end token behind them. So no choice is a part of another one, whatever their tokens are. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class ChoiceTree:
    """Trie of the tokens of choices; its root is the prompt's last token, and no node.

    Edges are what has a probability: edge i leads to node i, and behind those are the edges to each choice's end token.

    Attributes:
        tokens: token of each node; parents come before their children [n].
        parents: parent of each node, -1 for the root [n].
        depths: nodes between a node and the root [n].
        paths: nodes of each choice, from the root on.
        eos_id: the end token.
        refusable: whether the last path is no choice but the sentence for pictures outside the model's world, which is
            never taken: its probability is only compared with theirs.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]
    eos_id: int
    refusable: bool = False

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, choices: Sequence[Sequence[int]], eos_id: int, *, refusable: bool = False) -> ChoiceTree:
        """Build the tree of choices, each given as its tokens without the end token.

        >>> tree = ChoiceTree.of([[7, 8], [7], [9]], eos_id=0)
        >>> tree.tokens, tree.parents, tree.depths, tree.paths
        ((7, 8, 9), (-1, 0, -1), (0, 1, 0), ((0, 1), (0,), (2,)))
        """
        nodes: dict[tuple[int, int], int] = {}  # by parent and token
        depths: list[int] = []
        paths = []
        for choice in choices:
            path: list[int] = []
            for token in choice:
                edge = (path[-1] if path else -1, token)
                if edge not in nodes:
                    nodes[edge] = len(nodes)
                    depths.append(len(path))
                path.append(nodes[edge])
            paths.append(tuple(path))
        parents, tokens = tuple(parent for parent, _ in nodes), tuple(token for _, token in nodes)
        return cls(tokens, parents, tuple(depths), tuple(paths), eos_id, refusable)

    @classmethod
    def written(cls, texts: Sequence[str], tokenizer: TextTokenizer, outside_answer: str | None = None) -> ChoiceTree:
        """Build the tree of texts as the model was taught to write them: a space, the text, the end token.

        Args:
            texts: the choices.
            tokenizer: the model's.
            outside_answer: the sentence that the model has for pictures outside its world; not used if it is a choice.
        """
        refusable = outside_answer is not None and outside_answer not in texts
        written = [*texts, outside_answer] if refusable else texts
        return cls.of([tokenizer.encode(f" {text}") for text in written], tokenizer.eos_id, refusable=refusable)

    @property
    def choices(self) -> int:
        """The number of choices."""
        return len(self.paths) - self.refusable

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Edges as (query, token): query 0 is the root, query i + 1 is node i."""
        ends = [(path[-1] + 1 if path else 0, self.eos_id) for path in self.paths]
        return [*((parent + 1, token) for parent, token in zip(self.parents, self.tokens, strict=True)), *ends]

    def edges_of(self, choice: int) -> list[int]:
        """Return the edges that lead to a choice and to its end token."""
        return [*self.paths[choice], len(self) + choice]

    def queries_of(self, choice: int) -> list[int]:
        """Return the queries that write a choice's tokens and its end token."""
        return [0, *(node + 1 for node in self.paths[choice])]

    def tokens_of(self, choice: int) -> tuple[int, ...]:
        """Return the tokens of a choice, the end token included."""
        return (*(self.tokens[node] for node in self.paths[choice]), self.eos_id)

    def ancestry(self) -> NDArray[np.bool_]:
        """Return which nodes each node sees: those on its way from the root, and itself [n, n]."""
        seen = np.zeros((len(self), len(self)), dtype=np.bool_)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] = seen[parent]
            seen[node, node] = True
        return seen

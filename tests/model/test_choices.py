"""Trees of choices: what they begin with alike is one node, and each choice's edges spell it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.choices import ChoiceTree

EOS = 99
CHOICES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=2, max_size=8)


@given(CHOICES)
def test_the_edges_of_a_choice_spell_it_and_end(choices: list[list[int]]) -> None:
    tree = ChoiceTree.of(choices, EOS)
    edges = tree.edges
    for place, choice in enumerate(choices):
        assert [edges[edge][1] for edge in tree.edges_of(place)] == [*choice, EOS] == list(tree.tokens_of(place))
        assert [edges[edge][0] for edge in tree.edges_of(place)] == tree.queries_of(place)


@given(CHOICES)
def test_a_node_sees_its_own_choice_and_nothing_of_the_others(choices: list[list[int]]) -> None:
    tree = ChoiceTree.of(choices, EOS)
    for path in tree.paths:
        for depth, node in enumerate(path):
            assert tree.depths[node] == depth
            assert tree.ancestry()[node].nonzero()[0].tolist() == list(path[: depth + 1])


@given(CHOICES)
def test_choices_that_begin_alike_share_their_nodes(choices: list[list[int]]) -> None:
    tree = ChoiceTree.of(choices, EOS)
    assert len(tree) == len({tuple(choice[:end]) for choice in choices for end in range(1, len(choice) + 1)})
    assert all(parent < node for node, parent in enumerate(tree.parents))

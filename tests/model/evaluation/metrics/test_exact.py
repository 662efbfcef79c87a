"""Right or wrong: words, signs, numbers, coloured shapes, in a word or in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from model.evaluation.metrics.exact import colour_shape_match, count_match, exact_match, sign_match


@pytest.mark.parametrize(
    ("judge", "answer", "references", "score"),
    [
        (exact_match, "yes", ["yes"], 1),
        (exact_match, " Yes.\n", ["yes"], 1),
        (exact_match, "yes, it is", ["yes"], 0),
        (exact_match, "", ["yes"], 0),
        (exact_match, "grey", ["gray", "grey"], 1),
        (sign_match, "STOP", ["STOP"], 1),
        (sign_match, "STOP.", ["STOP"], 1),
        (sign_match, "Stop", ["STOP"], 0),
        (sign_match, 'The sign says "STOP".', ["STOP"], 1),
        (sign_match, "The sign says “STOP”.", ["STOP"], 1),
        (sign_match, 'The sign says "ST0P".', ["STOP"], 0),
        (sign_match, '"STOP" or "SHOP"', ["STOP"], 0),
        (sign_match, '"STOP" ... "STOP"', ["STOP"], 1),
        (sign_match, "STOPS", ["STOP"], 0),
        (sign_match, "There is no sign.", ["nothing", "There is no sign"], 1),
        (sign_match, "", ["STOP"], 0),
        (count_match, "3", ["3"], 1),
        (count_match, "Three.", ["3"], 1),
        (count_match, "There are three red shapes.", ["3"], 1),
        (count_match, "There are 03 shapes", ["three"], 1),
        (count_match, "There are no shapes.", ["0"], 1),
        (count_match, "13", ["3"], 0),
        (count_match, "2 or 3", ["3"], 0),
        (count_match, "some", ["3"], 0),
        (colour_shape_match, "A red circle.", ["red circle"], 1),
        (colour_shape_match, "A small Red Circle at the top left and two blue stars.", ["blue star", "red circle"], 1),
        (colour_shape_match, "A red circle.", ["red circle", "blue star"], 0.5),
        (colour_shape_match, "A red circle and a blue star.", ["red circle"], 0.5),
        (colour_shape_match, "A red circle and a red circle.", ["red circle", "red circle"], 1),
        (colour_shape_match, "A red circle.", ["red circle", "red circle"], 0.5),
        (colour_shape_match, "A circle that is red.", ["red circle"], 0),
        (colour_shape_match, "Two yellow crosses.", ["yellow cross"], 1),
        (colour_shape_match, 'A sign that reads "EXIT".', [], 1),
        (colour_shape_match, "A red circle.", [], 0),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_an_answer_is_judged_by_what_it_says(
    judge: Callable[[str, Sequence[str]], float], answer: str, references: list[str], score: float
) -> None:
    assert judge(answer, references) == score

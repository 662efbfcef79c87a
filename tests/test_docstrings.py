"""First sentences of docstrings: what a machine can check of the rule that each must make sense alone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("model", "service", "loadtest")
QUESTION_WORDS = {"what", "which", "whether", "how", "where", "why", "who", "whose", "when"}
PRONOUNS = {
    "all", "another", "any", "both", "each", "it", "its", "many", "none", "of", "one", "other", "others", "same", "so",
    "some", "that", "the", "them", "these", "they", "this", "those", "to", "by", "for", "in", "from", "with", "a", "an",
}  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_first_sentences_stand_alone(room: str) -> None:
    faults = [
        f"{file.relative_to(ROOT)}:{line}: {fault}: {sentence}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for line, sentence in first_sentences(file.read_text(encoding="utf-8"))
        if (fault := fault_of(sentence))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("sentence", "fault"),
    [
        pytest.param("What is typed.", "begins with a question word", id="question-word"),
        pytest.param("Whether the device has matrix instructions.", "begins with a question word", id="whether"),
        pytest.param("By hash.", "has fewer than 3 words", id="short"),
        pytest.param("One of them.", "names nothing", id="pronouns"),
        pytest.param("Return whether two boxes overlap.", "", id="verb"),
        pytest.param("Number of tiles.", "", id="subject"),
    ],
)
def test_a_riddle_is_found(sentence: str, fault: str) -> None:
    assert fault_of(sentence) == fault


def test_docstrings_of_modules_classes_and_functions_are_read() -> None:
    source = '"""Module here. More."""\nclass A:\n    """Class here."""\n    def b(self):\n        """Method here."""\n'
    assert [sentence for _, sentence in first_sentences(source)] == ["Module here.", "Class here.", "Method here."]


def first_sentences(source: str) -> Iterator[tuple[int, str]]:
    """Line and first sentence of every docstring in a file."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def fault_of(sentence: str) -> str:
    """Reason why a first sentence cannot stand alone; empty if it can, as far as a machine sees."""
    words = re.findall(r"[^\s\-]*[A-Za-z0-9][^\s]*", sentence)
    plain = [word.strip(".,:;!?`'\"()").lower() for word in words]
    if plain and plain[0] in QUESTION_WORDS:
        return "begins with a question word"
    if len(plain) < 3:
        return "has fewer than 3 words"
    return "names nothing" if all(word in PRONOUNS for word in plain) else ""

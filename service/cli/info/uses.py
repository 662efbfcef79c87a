"""The beginning of `pheye info`: what a model knows, and the commands that use it.

Owns the words; what a model knows its checkpoint says (`model/about.py`). Used by the command only.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import Console

from model.about import About
from model.checkpoint.names import PUBLISHED, RANDOM
from model.config import GEOMETRIES
from service.configuration.plain_words import plain_value
from service.known_world import REAL_CHECKPOINT
from service.machine.models import BUILT_IN

_QUESTION = "What is in the picture?"  # where a checkpoint suggests none


def uses(source: str, about: About | None) -> Iterator[tuple[str, str]]:
    """List what a model knows and how it is used, each with its heading.

    Args:
        source: as `--model` takes it, or a geometry's name.
        about: what its checkpoint says of it, if it is here and says anything.

    >>> for heading, words in uses("random:Pheye-x2-672", None): print(f"{heading}: {words}")
    knows: nothing: random weights, of the right size for load tests
    serve it: pheye serve --model random:Pheye-x2-672
    """
    if source in GEOMETRIES and source != BUILT_IN:
        yield "knows", "nothing: this is a geometry, which random weights can have"
        yield "serve it", f"pheye serve --model {RANDOM}{source}"
        return
    yield "knows", _knows(source, about)
    if about is not None and about.outside_answer:
        yield "of others", f"it is to say: {plain_value(about.outside_answer)}"
    model = shlex.quote(plain_value(source))
    yield "serve it", f"pheye serve --model {model}"
    if source.startswith(RANDOM):
        return
    question = about.questions[0] if about is not None and about.questions else _QUESTION
    yield "ask it", f"pheye ask IMAGE {shlex.quote(plain_value(question))} --model {model}"
    yield "", f"pheye caption FOLDER --jsonl captions.jsonl --model {model}"
    yield "train it", f"pheye train --model {model} --data mine.jsonl --output runs/mine --dry-run"
    if about is not None and about.outside_answer:
        yield "for others", REAL_CHECKPOINT


def print_uses(source: str, about: About | None, console: Console) -> None:
    """Print the list under the model's name."""
    console.print(plain_value(source), highlight=False, markup=False)
    for heading, words in uses(source, about):
        console.print(f"{heading:>12}  {words}", highlight=False, markup=False, soft_wrap=True)
    console.print()


def _knows(source: str, about: About | None) -> str:
    if about is not None:
        return plain_value(about.knows)
    if source.startswith(RANDOM):
        return "nothing: random weights, of the right size for load tests"
    if source in PUBLISHED:
        return "photographs and the text in them, as its authors trained it (arXiv 2501.02584)"
    return "its checkpoint does not say: there is no about.json in it"

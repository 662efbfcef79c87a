"""Importer of easy-VQA's training questions: 4,000 small images of one coloured shape, 38,575 questions.

The images lie in the installed package `easy-vqa` and stay there. Its test split is for evaluation and is not read
here. Knows no tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from model.data.importers.importing import FoundSample
from model.data.manifest import Line, ManifestSource
from model.data.samples import Turn
from model.prompt import question_instruction


class EasyVqaError(ValueError):
    """Missing data set; the message says how to get it."""


def training_lines() -> Iterator[Line]:
    """Return every question of the training split, with the prompt for short answers.

    Raises:
        EasyVqaError: the package is not installed.
    """
    try:
        from easy_vqa import get_train_image_paths, get_train_questions
    except ModuleNotFoundError:
        raise EasyVqaError("the package easy-vqa is not installed; pip install 'pheye-service[train]'") from None
    paths: dict[int, str] = get_train_image_paths()
    for question, answer, image in zip(*get_train_questions(), strict=True):
        yield Line(paths[image], question_instruction(question, "short"), answer)


def training_samples() -> Iterator[FoundSample]:
    """Return the same for `write_import`.

    Raises:
        EasyVqaError: the package is not installed.
    """
    for number, line in enumerate(training_lines()):
        yield FoundSample(f"question {number}", (Path(line.image),), (Turn(line.instruction, line.response),))


def easy_vqa_source() -> ManifestSource:
    """Return the training split as samples, without a manifest file.

    Raises:
        EasyVqaError: the package is not installed.
    """
    turns: dict[Path, list[Turn]] = {}
    for line in training_lines():
        turns.setdefault(Path(line.image), []).append(Turn(line.instruction, line.response))
    return ManifestSource(tuple(turns), tuple(map(tuple, turns.values())))

"""easy-VQA reader: its official test split, as the package `easy-vqa` ships it. Any thread or process."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from model.data.fields import DataError
from model.evaluation.case import Case
from model.prompt import question_instruction

_SHAPES = frozenset({"circle", "rectangle", "triangle"})
_YES_NO = frozenset({"yes", "no"})


def read_easy_vqa() -> list[Case]:
    """Read all 9,673 questions about 1,000 images, grouped by what is asked for: colour, shape, yes or no.

    Raises:
        DataError: the package is not installed.
    """
    try:
        from easy_vqa import get_test_questions
    except ImportError:
        raise DataError("easy-VQA ships with a package: pip install 'pheye-service[train]'") from None
    folder = Path(str(resources.files("easy_vqa"))) / "data" / "test" / "images"
    return [
        Case(
            id=str(number),
            image_path=folder / f"{image}.png",
            instruction=question_instruction(question, "short"),
            references=(answer,),
            kind="exact",
            group="shape" if answer in _SHAPES else "yes/no" if answer in _YES_NO else "colour",
        )
        for number, (question, answer, image) in enumerate(zip(*get_test_questions(), strict=True))
    ]

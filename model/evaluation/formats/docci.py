"""DOCCI reader: long descriptions, one JSON object a line, all splits in one file. Any thread or process."""

from __future__ import annotations

from pathlib import Path

from model.data.fields import DataError, read_lines
from model.evaluation.case import Case
from model.prompt import caption_instruction


def read_docci(descriptions: Path, images: Path, split: str = "test") -> list[Case]:
    """Read the cases of a split, one an image, in the file's order.

    Args:
        descriptions: `docci_descriptions.jsonlines`.
        images: the folder with `test_00000.jpg` and so on.
        split: `test`, `train`, `qual_dev` or `qual_test`.

    Raises:
        DataError, OSError: the file is not what it should be, or has nothing of the split.
    """
    records = [record for record in read_lines(descriptions) if record.text("split") == split]
    if not records:
        raise DataError(f"{descriptions}: nothing in it is of the split {split!r}")
    instruction = caption_instruction("long")
    return [
        Case(
            record.text("example_id"),
            images / record.text("image_file"),
            instruction,
            (record.text("description"),),
            "cider",
        )
        for record in records
    ]

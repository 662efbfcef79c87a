"""TextVQA reader: one file with questions and answers, images named by their identifier. Any thread or process."""

from __future__ import annotations

from pathlib import Path

from model.data.fields import DataError, Record, read_object
from model.data.formats.textvqa import image_name, people_s_answers
from model.evaluation.areas import Regions, covered_area
from model.evaluation.case import Case
from model.prompt import question_instruction

PEOPLE = 10


def read_textvqa(data: Path, images: Path, regions: Regions | None = None) -> list[Case]:
    """Read the cases of a split, in its order; no OCR tokens are given to the model.

    Args:
        data: `TextVQA_0.5.1_val.json` or another split's.
        images: the folder with `003a8ae2ef43b901.jpg` and so on.
        regions: which words are where in each image, to tell the area of the answer (section 3.3 of the paper).

    Raises:
        DataError, OSError: the file is not what it should be.
    """
    return [_case(record, images, regions) for record in read_object(data).records("data")]


def _case(record: Record, images: Path, regions: Regions | None) -> Case:
    image = record.text("image_id")
    said = people_s_answers(record)
    if said and len(said) != PEOPLE:
        raise DataError(f"{record.where}: answers: there are {len(said)}; expected {PEOPLE}")
    return Case(
        id=record.name("question_id"),
        image_path=images / image_name(record),
        instruction=question_instruction(record.text("question"), "short"),
        references=said,
        kind="textvqa10",
        area=covered_area(regions, image, said),
    )

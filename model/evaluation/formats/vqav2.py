"""VQAv2 reader: questions and annotations as the VQA challenge publishes them, images named as COCO does.

The annotations of the test splits are kept by the challenge: without them the cases have no references, and answers can
be sent to its evaluation server. Any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from model.data.fields import DataError, Record, read_object
from model.data.formats.vqav2 import image_name, people_s_answers
from model.evaluation.areas import Regions, covered_area
from model.evaluation.case import Case
from model.prompt import question_instruction

PEOPLE = 10
_OF_QUESTION = frozenset({"yes/no", "number"})  # types of answer that name nothing in the image


def read_vqav2(questions: Path, annotations: Path | None, images: Path, regions: Regions | None = None) -> list[Case]:
    """Read the cases of a split, in the order of its questions, grouped by type of answer.

    Args:
        questions: `v2_OpenEnded_mscoco_val2014_questions.json` or another split's.
        annotations: `v2_mscoco_val2014_annotations.json`, or None where nobody has them.
        images: the folder with `COCO_val2014_000000262148.jpg` and so on.
        regions: what is where in each image, to tell the area of what is asked about (section 3.3 of the paper).

    Raises:
        DataError, OSError: a file is not what it should be, or the two do not belong together.
    """
    asked = read_object(questions)
    split = asked.text("data_subtype")
    answered = _annotations(annotations, split) if annotations is not None else None
    cases = []
    for question in asked.records("questions"):
        number = question.whole("question_id")
        if answered is not None and number not in answered:
            raise DataError(f"{question.where}: question_id {number} is not in {annotations}")
        cases.append(
            _case(question, answered[number] if answered else None, images / image_name(question, split), regions)
        )
    return cases


def _annotations(file: Path, split: str) -> Mapping[int, Record]:
    record = read_object(file)
    if record.text("data_subtype") != split:
        raise DataError(f"{file}: data_subtype: {record.text('data_subtype')!r}, and the questions are of {split!r}")
    return {each.whole("question_id"): each for each in record.records("annotations")}


def _case(question: Record, annotation: Record | None, image: Path, regions: Regions | None) -> Case:
    text = question.text("question")
    said: tuple[str, ...] = ()
    group = ""
    if annotation is not None:
        said = people_s_answers(annotation)
        group = annotation.text("answer_type")
        if len(said) != PEOPLE:
            raise DataError(f"{annotation.where}: answers: there are {len(said)}; expected {PEOPLE}")
    return Case(
        id=str(question.whole("question_id")),
        image_path=image,
        instruction=question_instruction(text, "short"),
        references=said,
        kind="vqa10",
        group=group,
        area=covered_area(regions, question.name("image_id"), (text,) if group in _OF_QUESTION else said),
    )

"""Importers of public question and caption data sets, with the response formatting prompts of the paper's Table 3.

Each reads the data set's own files as a stream, and looks for images under the names that people keep them by. An entry
that is not what it should be is skipped and named. Knows no tensors. Any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from model.data.fields import DataError, Record
from model.data.formats import textvqa, vqav2
from model.data.importers.importing import FoundSample, Remark
from model.data.json_stream import stream_items, stream_list, stream_members, stream_text
from model.data.samples import Turn
from model.prompt import caption_instruction, offered_answers, question_instruction

OcrVqaSplit = Literal["train", "val", "test"]
_OCR_VQA_SPLITS: dict[OcrVqaSplit, int] = {"train": 1, "val": 2, "test": 3}
_NO_ANSWER = "question without an answer"

Found = Iterator[FoundSample | Remark]


def vqav2_samples(questions: Path, annotations: Path, images: Path) -> Found:
    """Read VQAv2's or OK-VQA's questions, each with its most common answer.

    Args:
        questions: `v2_OpenEnded_mscoco_train2014_questions.json`, or OK-VQA's.
        annotations: `v2_mscoco_train2014_annotations.json`, or OK-VQA's.
        images: a folder with COCO's images under the names of 2014 or 2017, or with the folders of these.

    Raises:
        DataError: a file is not what it should be, or the two do not belong together.
    """
    split = stream_text(questions, "data_subtype")
    if (other := stream_text(annotations, "data_subtype")) != split:
        raise DataError(f"{annotations}: data_subtype: {other!r}, and the questions are of {split!r}")
    answers: dict[int, str] = {}
    for entry in stream_list(annotations, "annotations"):
        number = entry.whole("question_id")
        given = entry.has("multiple_choice_answer")
        answers[number] = (
            entry.text("multiple_choice_answer") if given else vqav2.most_common(vqav2.people_s_answers(entry))
        )

    def sample(entry: Record) -> FoundSample | Remark:
        number, image = entry.whole("question_id"), entry.whole("image_id")
        if number not in answers:
            return Remark(_NO_ANSWER, entry.where)
        places = _coco(images, vqav2.image_name(entry, split), split, image)
        return _short(entry.where, places, entry.text("question"), answers[number])

    return _each(stream_list(questions, "questions"), sample)


def textvqa_samples(data: Path, images: Path) -> Found:
    """Read TextVQA's questions, each with its most common answer; no OCR tokens are given to the model."""

    def sample(entry: Record) -> FoundSample | Remark:
        said = textvqa.people_s_answers(entry)
        if not said:
            return Remark(_NO_ANSWER, entry.where)
        return _short(entry.where, _textvqa(images, entry), entry.text("question"), vqav2.most_common(said))

    return _each(stream_list(data, "data"), sample)


def st_vqa_samples(data: Path, images: Path) -> Found:
    """Read ST-VQA's questions, each with its most common answer.

    Args:
        data: `train_task_3.json`.
        images: the folder with its folders, `coco-text/COCO_train2014_000000456917.jpg` and so on.
    """

    def sample(entry: Record) -> FoundSample | Remark:
        if not entry.has("answers"):
            return Remark(_NO_ANSWER, entry.where)
        places = (images / entry.text("file_path"),)
        return _short(entry.where, places, entry.text("question"), vqav2.most_common(entry.texts("answers")))

    return _each(stream_list(data, "data"), sample)


def textcaps_samples(data: Path, images: Path) -> Found:
    """Read TextCaps' captions, each as a turn, with the prompt for captions that tell the text in the image."""
    instruction = caption_instruction("short", "scene_text")

    def sample(entry: Record) -> FoundSample | Remark:
        if not entry.has("caption_str"):
            return Remark("image without a caption", entry.where)
        return FoundSample(entry.where, _textvqa(images, entry), (Turn(instruction, entry.text("caption_str")),))

    return _each(stream_list(data, "data"), sample)


def gqa_samples(data: Path, images: Path) -> Found:
    """Read GQA's questions with their short answers.

    Args:
        data: `train_balanced_questions.json`, or a folder of such files: the whole training set is in ten.
        images: the folder with `2354786.jpg` and so on.

    Raises:
        DataError: a file is not what it should be, or there is none in the folder.
    """
    files = sorted(data.glob("*.json")) if data.is_dir() else [data]
    if not files:
        raise DataError(f"{data}: there is no .json file in this folder")

    def sample(entry: Record) -> FoundSample | Remark:
        if not entry.has("answer"):
            return Remark(_NO_ANSWER, entry.where)
        places = (images / f"{entry.name('imageId')}.jpg",)
        return _short(entry.where, places, entry.text("question"), entry.text("answer"))

    return _each((entry for file in files for _, entry in stream_members(file)), sample)


def ocr_vqa_samples(data: Path, images: Path, split: OcrVqaSplit = "train") -> Found:
    """Read OCR-VQA's questions about book covers.

    Args:
        data: `dataset.json`, of all splits.
        images: the folder with `0761183272.jpg` and so on.
        split: which part.
    """
    for name, entry in stream_members(data):
        try:
            if entry.whole("split") != _OCR_VQA_SPLITS[split]:
                continue
            ending = Path(entry.text("imageURL")).suffix
            asked, answered = entry.texts("questions"), entry.texts("answers")
        except DataError as error:
            yield _wrong(error)
            continue
        if len(asked) != len(answered):
            yield Remark("entry with another number of answers than of questions", entry.where)
            continue
        places = tuple(images / f"{name}{each}" for each in dict.fromkeys((ending, ".jpg", ".png", ".gif")))
        pairs = zip(asked, answered, strict=True)
        turns = tuple(Turn(question_instruction(question, "short"), answer) for question, answer in pairs)
        yield FoundSample(entry.where, places, turns)


def a_okvqa_samples(data: Path, images: Path) -> Found:
    """Read A-OKVQA's questions with their choices; the answer is the letter of the right one.

    Args:
        data: `aokvqa_v1p0_train.json`.
        images: a folder with COCO's images under the names of 2017 or 2014, or with the folders of these.
    """

    def sample(entry: Record) -> FoundSample | Remark:
        choices = entry.texts("choices")
        if not entry.has("correct_choice_idx"):
            return Remark(_NO_ANSWER, entry.where)
        letters, right = offered_answers("choice", choices), entry.whole("correct_choice_idx")
        if not 0 <= right < len(choices):
            return Remark("question whose right answer is not among its choices", entry.where)
        instruction = question_instruction(entry.text("question"), "choice", choices)
        number, split = entry.whole("image_id"), f"{entry.text('split')}2017"
        places = _coco(images, f"{number:012d}.jpg", split, number)
        return FoundSample(entry.where, places, (Turn(instruction, letters[right]),))

    return _each(stream_items(data), sample)


def _each(entries: Iterable[Record], sample: Callable[[Record], FoundSample | Remark]) -> Found:
    """Turn entries into samples; a wrong one is skipped and named."""
    for entry in entries:
        try:
            yield sample(entry)
        except DataError as error:
            yield _wrong(error)


def _wrong(error: DataError) -> Remark:
    return Remark("entry of another form", str(error))


def _short(where: str, places: tuple[Path, ...], question: str, answer: str) -> FoundSample:
    return FoundSample(where, places, (Turn(question_instruction(question, "short"), answer),))


def _textvqa(images: Path, entry: Record) -> tuple[Path, ...]:
    name = textvqa.image_name(entry)
    return (images / name, images / "train_images" / name)  # as the archive of the images unpacks


def _coco(images: Path, name: str, split: str, number: int) -> tuple[Path, ...]:
    """List the names of one image of COCO: a number is the same image in every year's edition."""
    names = [name, f"{split}/{name}"]
    names += [f"{number:012d}.jpg", *(f"{part}2017/{number:012d}.jpg" for part in ("train", "val"))]
    old = [f"COCO_{part}2014_{number:012d}.jpg" for part in ("train", "val")]
    names += [*old, *(f"{each.split('_')[1]}/{each}" for each in old)]
    return tuple(images / each for each in dict.fromkeys(names))

"""Public data sets: their own files become lines with the paper's prompts; what cannot be used is counted and named."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from model.data.fields import DataError
from model.data.importers import public
from model.data.importers.importing import FoundSample, Remark, write_import
from model.data.manifest import ManifestSource, read_manifest
from tests.support import datasets

SHORT = "\nAnswer the question using a single word or phrase"
SCENE_TEXT = (
    "Generate a one-sentence caption for the provided image, incorporating textual elements visible in the image."
)

Said = list[tuple[str, str, str]]


def said(source: ManifestSource) -> Said:
    return [
        (image.name, turn.instruction, turn.response)
        for image, turns in zip(source.images, source.turns, strict=True)
        for turn in turns
    ]


def imported(found: Iterable[FoundSample | Remark], folder: Path) -> tuple[Said, list[str]]:
    report = write_import(found, folder / "mine.jsonl")
    return said(read_manifest(folder / "mine.jsonl")), list(report.told())


def coco(number: int) -> str:
    return f"{number:012d}.jpg"


def test_vqav2_has_the_most_common_answer_whatever_coco_s_images_are_called(tmp_path: Path) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path)
    lines, told = imported(public.vqav2_samples(questions, annotations, images), tmp_path)
    assert lines[:2] == [
        ("COCO_val2014_000000000009.jpg", "How many dogs, number 0?" + SHORT, "yes"),
        ("COCO_val2014_000000000009.jpg", "How many dogs, number 1?" + SHORT, "2"),
    ]
    assert (len(lines), told) == (4, [])
    (images / "train2017").mkdir()
    (images / "COCO_val2014_000000000010.jpg").rename(images / "train2017" / coco(10))
    again, _ = imported(public.vqav2_samples(questions, annotations, images), tmp_path)
    assert [name for name, _, _ in again] == ["COCO_val2014_000000000009.jpg"] * 2 + [coco(10)] * 2


def test_ok_vqa_s_answers_are_counted_and_questions_without_one_are_named(tmp_path: Path) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path)
    content = json.loads(annotations.read_text())
    for entry in content["annotations"]:
        del entry["multiple_choice_answer"]
    content["annotations"][1]["answers"][0]["answer"] = "3"
    del content["annotations"][3]
    datasets.write(annotations, content)
    lines, told = imported(public.vqav2_samples(questions, annotations, images), tmp_path)
    assert [answer for _, _, answer in lines] == ["yes", "3", "yes"]
    assert told == [f"question without an answer: {questions}: questions[3]"]


def test_questions_and_annotations_of_two_splits_are_refused(tmp_path: Path) -> None:
    questions, _, images = datasets.vqav2(tmp_path)
    _, annotations, _ = datasets.vqav2(tmp_path / "other", split="train2014")
    with pytest.raises(DataError, match="data_subtype: 'train2014', and the questions are of 'val2014'"):
        imported(public.vqav2_samples(questions, annotations, images), tmp_path)


def test_textvqa_and_textcaps(tmp_path: Path) -> None:
    data, images = datasets.textvqa(tmp_path)
    lines, _ = imported(public.textvqa_samples(data, images), tmp_path)
    assert lines[0] == ("000a.jpg", "what brand is it?" + SHORT, "nokia")
    data, images = datasets.textcaps(tmp_path)
    images.rename(tmp_path / "train_images")  # as the archive unpacks
    lines, _ = imported(public.textcaps_samples(data, tmp_path), tmp_path)
    assert lines[0] == ("000a.jpg", SCENE_TEXT, "A Nokia phone.")
    assert len(lines) == 5


def st_vqa(folder: Path) -> Path:
    entry = {"dataset": "coco-text", "set_name": "train", "file_name": "c_1.jpg", "file_path": "coco-text/c_1.jpg"}
    entry |= {"question": "What word?", "question_id": 3, "answers": ["wilson", "Wilson", "wilson"], "image": "c_1.jpg"}
    datasets.picture(folder / "coco-text" / "c_1.jpg")
    return datasets.write(folder / "train_task_3.json", {"task_name": "task 3", "data": [entry]})


def gqa(folder: Path) -> Path:
    datasets.picture(folder / "2354786.jpg")
    entry = {
        "imageId": "2354786",
        "isBalanced": True,
        "fullAnswer": "No, it is gray.",
        "semantic": [{"operation": "x"}],
    }
    asked = {"02930152": entry | {"question": "Is the sky dark?", "answer": "no"}, "7": entry | {"question": "And?"}}
    datasets.write(folder / "all" / "train_all_questions_1.json", {"9": entry | {"question": "Why?", "answer": "art"}})
    return datasets.write(folder / "all" / "train_all_questions_0.json", asked)


def ocr_vqa(folder: Path) -> Path:
    datasets.picture(folder / "0761183272.gif")
    datasets.picture(folder / "B01.jpg")
    url = "http://ecx.images-amazon.com/images/I/61Y5cOdHJbL.jpg"
    book = {"imageURL": url, "title": "Mom's", "authorName": "S", "genre": "Calendars", "split": 1}
    pairs = {"questions": ["Who wrote this book?", "Is it a calendar?"], "answers": ["Sandra Boynton", "Yes"]}
    books = {"0761183272": book | pairs, "1": book | pairs | {"answers": ["x"]}, "2": book | {"questions": "?"}}
    return datasets.write(folder / "dataset.json", books | {"B01": book | pairs | {"split": 3}})


def a_okvqa(folder: Path) -> Path:
    datasets.picture(folder / "train2017" / coco(299207))
    entry = {"split": "train", "image_id": 299207, "question_id": "22MexNkBPpdZGX6sxbxVBH", "rationales": ["r"]}
    entry |= {"question": "What is he by?", "choices": ["truck", "taxi"], "correct_choice_idx": 1}
    entry |= {"direct_answers": ["ride"], "difficult_direct_answer": False}
    return datasets.write(folder / "aokvqa.json", [entry, {**entry, "correct_choice_idx": 4}, {**entry, "choices": 1}])


CHOSEN = "What is he by?\nA. truck\nB. taxi\nAnswer with the option's letter from the given choices directly."
WRITTEN = "Who wrote this book?" + SHORT


@pytest.mark.parametrize(
    ("write", "read", "first", "count", "told"),
    [
        pytest.param(st_vqa, public.st_vqa_samples, ("c_1.jpg", "What word?" + SHORT, "wilson"), 1, [], id="st-vqa"),
        pytest.param(
            gqa,
            public.gqa_samples,
            ("2354786.jpg", "Is the sky dark?" + SHORT, "no"),
            1,
            ["question without an answer: FILE: 7"],
            id="gqa",
        ),
        pytest.param(
            ocr_vqa,
            public.ocr_vqa_samples,
            ("0761183272.gif", WRITTEN, "Sandra Boynton"),
            2,
            [
                "entry with another number of answers than of questions: FILE: 1",
                "entry of another form: FILE: 2: questions: expected a list of texts",
            ],
            id="ocr-vqa",
        ),
        pytest.param(
            a_okvqa,
            public.a_okvqa_samples,
            (coco(299207), CHOSEN, "B"),
            1,
            [
                "question whose right answer is not among its choices: FILE: [1]",
                "entry of another form: FILE: [2]: choices: expected a list of texts",
            ],
            id="a-okvqa",
        ),
    ],
)
def test_a_data_set_of_the_paper(
    write: Callable[[Path], Path],
    read: Callable[[Path, Path], Any],
    first: tuple[str, str, str],
    count: int,
    told: list[str],
    tmp_path: Path,
) -> None:
    file = write(tmp_path)
    lines, remarks = imported(read(file, tmp_path), tmp_path)
    assert (lines[0], len(lines)) == (first, count)
    assert [text.replace(str(file), "FILE") for text in remarks] == told


def test_the_whole_training_set_of_gqa_is_a_folder_of_files(tmp_path: Path) -> None:
    folder = gqa(tmp_path).parent
    assert [answer for _, _, answer in imported(public.gqa_samples(folder, tmp_path), tmp_path)[0]] == ["no", "art"]
    with pytest.raises(DataError, match=r"there is no \.json file"):
        public.gqa_samples(tmp_path / "all" / "..", tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"data": [{"image_id": "a"}, {"b": ]}', "not JSON, behind 1 entries: parse error"),
        (b'{"data": [{"image_id": "\xe9"}]}', "not JSON, behind 0 entries: lexical error: invalid bytes in UTF8"),
        (b'{"data": [{}], "', "not JSON, behind 1 entries: parse error: premature EOF"),
        (b'{"datum": []}', "data: expected a list, with something in it"),
        (b'{"data": [1]}', r"data\[0\]: expected an object"),
        (b"", "not JSON, behind 0 entries: parse error: premature EOF"),
    ],
    ids=["comma", "latin-1", "cut", "key", "number", "empty"],
)
def test_a_file_that_stops_being_json_is_named(text: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(codecs.BOM_UTF8 + text)
    with pytest.raises(DataError, match=rf"data\.json: {words}"):
        list(public.textvqa_samples(file, tmp_path))

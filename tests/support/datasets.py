"""Tiny data sets in the files of the public ones, and cases made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from model.evaluation.case import Case, Kind
from model.evaluation.record import CaseAnswer, EvaluationSetup

SETUP = EvaluationSetup("tests", "a-model", "f00d", 20, precision="float32")


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def picture(file: Path, tone: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40 + tone, 30), (tone, 255 - tone, 2 * tone)).save(file)
    return file


def vqav2(folder: Path, questions: int = 4, split: str = "val2014") -> tuple[Path, Path, Path]:
    """Questions, annotations, images; every second question is about the same image as the one before."""
    asked, answered = [], []
    for index in range(questions):
        image, number = 9 + index // 2, 1000 + index
        picture(folder / "images" / f"COCO_{split}_{image:012d}.png", image).rename(
            folder / "images" / f"COCO_{split}_{image:012d}.jpg"
        )
        asked.append({"image_id": image, "question": f"How many dogs, number {index}?", "question_id": number})
        said = ["2"] * 6 + ["3"] * 4 if index % 2 else ["yes"] * 10
        answers = [
            {"answer": each, "answer_confidence": "yes", "answer_id": place} for place, each in enumerate(said, start=1)
        ]
        kind = "number" if index % 2 else "yes/no"
        answered.append(
            {"question_id": number, "image_id": image, "answer_type": kind, "question_type": "how many"}
            | {"multiple_choice_answer": said[0], "answers": answers}
        )
    head = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": split}
    return (
        write(folder / "questions.json", head | {"task_type": "Open-Ended", "questions": asked}),
        write(folder / "annotations.json", head | {"annotations": answered}),
        folder / "images",
    )


def coco_instances(folder: Path) -> Path:
    """List what is in the images of `vqav2`: of two dogs in the first the larger counts."""
    things = [(9, 18, 49.0), (9, 18, 147.0), (9, 1, 294.0), (10, 1, 300.0)]
    return write(
        folder / "instances.json",
        {
            "images": [{"id": 9, "width": 49, "height": 30}, {"id": 10, "width": 50, "height": 30}],
            "annotations": [
                {"id": place, "image_id": image, "category_id": category, "area": area, "segmentation": []}
                for place, (image, category, area) in enumerate(things)
            ],
            "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        },
    )


def textvqa(folder: Path) -> tuple[Path, Path]:
    """Write data and images of a data set."""
    data = [
        {
            "question_id": 34600 + index,
            "question": "what brand is it?",
            "image_id": f"00{index}a",
            "answers": ["nokia"] * 7 + ["nokia phone"] * 3,
            "set_name": "val",
        }
        for index in range(2)
    ]
    for index in range(2):
        picture(folder / "images" / f"00{index}a.jpg", index)
    head = {"dataset_type": "val", "dataset_name": "textvqa", "dataset_version": "0.5.1"}
    return write(folder / "TextVQA_0.5.1_val.json", head | {"data": data}), folder / "images"


def ocr(folder: Path) -> Path:
    """Write what is written in the images of `textvqa` and `textcaps`."""
    found = [("NOKIA", 0.2, 0.1), ("12:30", 0.5, 0.5)]
    info = [{"word": word, "bounding_box": {"width": wide, "height": high, "yaw": 0.0}} for word, wide, high in found]
    data = [
        {"image_id": "000a", "ocr_tokens": ["NOKIA", "12:30"], "ocr_info": info},
        {"image_id": "001a", "ocr_tokens": [], "ocr_info": []},
    ]
    return write(folder / "ocr.json", {"data": data})


def textcaps(folder: Path) -> tuple[Path, Path]:
    """Data and images: three captions of one image, two of another, an entry each."""
    said = {"000a": ["A Nokia phone.", "A phone at 12:30.", "An old phone"], "001a": ["A book.", "A red book"]}
    data = [
        {"image_id": image, "image_path": f"train/{image}.jpg", "caption_id": place, "caption_str": caption}
        | {"reference_strs": captions, "set_name": "val"}
        for image, captions in said.items()
        for place, caption in enumerate(captions)
    ]
    for index, image in enumerate(said):
        picture(folder / "images" / f"{image}.jpg", index)
    head = {"dataset_type": "val", "dataset_name": "textcaps", "dataset_version": "0.1"}
    return write(folder / "TextCaps_0.1_val.json", head | {"data": data}), folder / "images"


def nocaps(folder: Path) -> tuple[Path, Path]:
    """Captions and images, one image of each domain."""
    domains = ("in-domain", "near-domain", "out-domain")
    images = [
        {"id": index, "open_images_id": f"{index}f", "file_name": f"{index}f.jpg", "domain": domain}
        | {"width": 40, "height": 30}
        for index, domain in enumerate(domains)
    ]
    annotations = [
        {"id": 10 * index + place, "image_id": index, "caption": f"A {thing} in place {place}."}
        for index, thing in enumerate(("dog", "robot", "lobster"))
        for place in range(2)
    ]
    for index in range(3):
        picture(folder / "images" / f"{index}f.jpg", index)
    return write(folder / "nocaps.json", {"images": images, "annotations": annotations}), folder / "images"


def docci(folder: Path) -> tuple[Path, Path]:
    """Descriptions and images, two of the test split among others."""
    lines = [
        {"example_id": f"{split}_{index:05}", "split": split, "image_file": f"{split}_{index:05}.jpg"}
        | {"description": f"A view of {split} number {index}. It is large."}
        for split, count in (("train", 1), ("test", 2), ("qual_dev", 1))
        for index in range(count)
    ]
    for line in lines:
        picture(folder / "images" / line["image_file"], len(line["image_file"]))
    file = folder / "docci_descriptions.jsonlines"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file, folder / "images"


def manifest(folder: Path) -> Path:
    """Three questions about two images."""
    asked = [("a.png", "How many?", "3"), ("a.png", "How many dogs?", "1"), ("b.png", "How many?", "0")]
    for place, (image, _, _) in enumerate(asked):
        picture(folder / "images" / image, place)
    file = folder / "held-out.jsonl"
    lines = [{"image": f"images/{image}", "instruction": words, "response": right} for image, words, right in asked]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def case(name: str, kind: Kind = "exact", *, area: float | None = None, group: str = "", says: str = "yes") -> Case:
    return Case(name, Path(f"{name}.png"), "Is it?", (says,), kind, group, area)


def answered(asked: Case, answer: str = "yes", setup: EvaluationSetup = SETUP, **shares: float) -> CaseAnswer:
    """`shares` are named layer1=0.5."""
    by_layer = {int(name.removeprefix("layer")): share for name, share in shares.items()}
    return CaseAnswer(asked, answer, "stop", setup, by_layer)

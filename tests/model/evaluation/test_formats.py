"""Readers: the files of the public data sets become cases with the paper's prompts; what is wrong is named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model.data.fields import DataError, Record, read_lines, read_object
from model.data.manifest import ManifestError
from model.evaluation.areas import Region, covered_area, read_instances, read_ocr
from model.evaluation.case import Case, Kind, subset
from model.evaluation.formats.docci import read_docci
from model.evaluation.formats.easy_vqa import read_easy_vqa
from model.evaluation.formats.manifest import read_manifest_cases
from model.evaluation.formats.nocaps import read_nocaps
from model.evaluation.formats.textcaps import read_textcaps
from model.evaluation.formats.textvqa import read_textvqa
from model.evaluation.formats.things import read_things
from model.evaluation.formats.vqav2 import read_vqav2
from model.evaluation.metrics.vqa import text_vqa_accuracy, vqa_accuracy
from tests.support import datasets

SHORT = "\nAnswer the question using a single word or phrase"
ONE_SENTENCE = "Provide a one-sentence caption for the provided image"


def test_vqav2_asks_for_a_word_and_knows_ten_answers(tmp_path: Path) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path)
    cases = read_vqav2(questions, annotations, images)
    assert [case.id for case in cases] == ["1000", "1001", "1002", "1003"]
    assert cases[1].instruction == "How many dogs, number 1?" + SHORT
    assert cases[1].references == ("2",) * 6 + ("3",) * 4
    assert (cases[1].kind, cases[1].group, cases[0].group) == ("vqa10", "number", "yes/no")
    assert cases[0].image_path == cases[1].image_path == images / "COCO_val2014_000000000009.jpg"
    assert all(case.image_path.exists() for case in cases)


@pytest.mark.parametrize(
    ("split", "image"),
    [("test-dev2015", "COCO_test2015_000000000009.jpg"), ("test2015", "COCO_test2015_000000000009.jpg")],
)
def test_the_test_splits_of_vqav2_have_no_references_and_share_images(split: str, image: str, tmp_path: Path) -> None:
    questions, _, _ = datasets.vqav2(tmp_path, split=split)
    case = read_vqav2(questions, None, tmp_path)[0]
    assert case.references == ()
    assert case.image_path == tmp_path / image


def test_textvqa_asks_for_a_word_and_gives_no_ocr_tokens(tmp_path: Path) -> None:
    data, images = datasets.textvqa(tmp_path)
    first, _ = read_textvqa(data, images)
    assert first == Case(
        "34600",
        images / "000a.jpg",
        "what brand is it?" + SHORT,
        ("nokia",) * 7 + ("nokia phone",) * 3,
        "textvqa10",
    )


def test_textcaps_asks_once_an_image_though_it_has_an_entry_a_caption(tmp_path: Path) -> None:
    data, images = datasets.textcaps(tmp_path)
    cases = read_textcaps(data, images)
    assert [(case.id, len(case.references), case.instruction) for case in cases] == [
        ("000a", 3, ONE_SENTENCE),
        ("001a", 2, ONE_SENTENCE),
    ]
    trained = read_textcaps(data, images, "scene_text")[0].instruction
    assert trained.endswith("incorporating textual elements visible in the image.")


def test_nocaps_is_grouped_by_domain(tmp_path: Path) -> None:
    captions, images = datasets.nocaps(tmp_path)
    cases = read_nocaps(captions, images)
    assert [case.group for case in cases] == ["in-domain", "near-domain", "out-domain"]
    assert cases[2].references == ("A lobster in place 0.", "A lobster in place 1.")
    assert {(case.instruction, case.kind) for case in cases} == {(ONE_SENTENCE, "cider")}
    assert all(case.image_path.exists() for case in cases)


def test_the_test_split_of_nocaps_has_no_annotations(tmp_path: Path) -> None:
    file = datasets.write(tmp_path / "test.json", {"images": [{"id": 3, "file_name": "3.jpg"}]})
    assert read_nocaps(file, tmp_path) == [Case("3", tmp_path / "3.jpg", ONE_SENTENCE, (), "cider")]


def test_docci_takes_one_split_and_asks_for_detail(tmp_path: Path) -> None:
    descriptions, images = datasets.docci(tmp_path)
    cases = read_docci(descriptions, images)
    assert [case.id for case in cases] == ["test_00000", "test_00001"]
    assert cases[0].instruction.startswith("Generate a highly detailed description")
    assert cases[0].references == ("A view of test number 0. It is large.",)
    with pytest.raises(DataError, match="nothing in it is of the split 'val'"):
        read_docci(descriptions, images, "val")


def test_easy_vqa_is_its_official_test_split() -> None:
    cases = read_easy_vqa()
    assert len(cases) == 9673
    assert len({case.image_path for case in cases}) == 1000
    assert cases[0].image_path.exists()
    assert cases[0].instruction == "what is the red shape?" + SHORT
    assert Counter(case.group for case in cases).keys() == {"shape", "colour", "yes/no"}
    assert len({case.references for case in cases}) == 13


def test_a_manifest_has_a_case_for_each_instruction_and_all_its_responses_are_right(tmp_path: Path) -> None:
    datasets.picture(tmp_path / "images" / "a.png")
    lines = [("What?", "a bus"), ("Why?", "because"), ("What?", "a red bus")]
    file = tmp_path / "held-out.jsonl"
    file.write_text(
        "".join(json.dumps({"image": "images/a.png", "instruction": i, "response": r}) + "\n" for i, r in lines)
    )
    what, why = read_manifest_cases(file, "cider")
    assert what == Case("0.0", tmp_path / "images" / "a.png", "What?", ("a bus", "a red bus"), "cider")
    assert (why.id, why.references) == ("0.1", ("because",))
    with file.open("a") as more:
        more.write(json.dumps({"image": "images/a.png", "instruction": "Describe", "response": "A bus on a road."}))
    kinds = [case.kind for case in read_manifest_cases(file)]
    assert kinds == ["exact", "exact", "words"], "by the length of the answer, as in training"
    file.write_text('{"image": "images/a.png"}')
    with pytest.raises(ValueError, match=r"held-out.jsonl, line 1"):
        read_manifest_cases(file, "exact")


def spoil(file: Path, change: Callable[[Any], None]) -> Path:
    content = json.loads(file.read_text())
    change(content)
    return datasets.write(file, content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("questions"), "questions.json: questions: missing"),
        (lambda c: c.update(questions={}), "questions.json: questions: expected a list"),
        (lambda c: c["questions"].append("?"), r"questions.json: questions\[4\]: expected an object"),
        (lambda c: c["questions"][2].update(question=" "), r"questions.json: questions\[2\]: question: expected text"),
        (lambda c: c["questions"][2].update(image_id="9"), r"questions\[2\]: image_id: expected a whole number"),
        (lambda c: c["questions"][2].update(image_id=True), r"questions\[2\]: image_id: expected a whole number"),
        (lambda c: c["questions"][1].update(question_id=7), r"questions\[1\]: question_id 7 is not in .*annotations"),
        (lambda c: c.update(data_subtype="train2014"), "annotations.json: data_subtype: 'val2014', and the questions"),
    ],
    ids=[
        "no questions",
        "no list",
        "no object",
        "blank",
        "text for a number",
        "a flag",
        "not annotated",
        "other split",
    ],
)
def test_malformed_questions_are_named_with_their_place(
    change: Callable[[Any], None], words: str, tmp_path: Path
) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path)
    with pytest.raises(DataError, match=words):
        read_vqav2(spoil(questions, change), annotations, images)


def test_a_reference_too_few_is_named(tmp_path: Path) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path)
    spoil(annotations, lambda c: c["annotations"][3]["answers"].pop())
    with pytest.raises(DataError, match=r"annotations\[3\]: answers: there are 9; expected 10"):
        read_vqav2(questions, annotations, images)
    data, images = datasets.textvqa(tmp_path / "text")
    spoil(data, lambda c: c["data"][1]["answers"].pop())
    with pytest.raises(DataError, match=r"data\[1\]: answers: there are 9; expected 10"):
        read_textvqa(data, images)


def test_captions_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    data, images = datasets.textcaps(tmp_path / "a")
    spoil(data, lambda c: c["data"][1].update(reference_strs=["another"]))
    with pytest.raises(DataError, match=r"data\[1\]: reference_strs: not those of the same image before"):
        read_textcaps(data, images)
    captions, images = datasets.nocaps(tmp_path / "b")
    spoil(captions, lambda c: c["images"][1].update(id=99))
    with pytest.raises(DataError, match=r"images\[1\]: id: image 99 has no annotations"):
        read_nocaps(captions, images)
    spoil(captions, lambda c: c["images"][0].update(domain="far"))
    with pytest.raises(DataError, match="domain: 'far' is not one of in-domain"):
        read_nocaps(captions, images)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not JSON"),
        (b"[1]", "expected a JSON object"),
        (b"\xff{}", "not JSON"),
        (b'"a"', "expected a JSON object"),
    ],
    ids=["cut short", "a list", "not text", "a text"],
)
def test_a_file_of_something_else_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=f"x: {words}"):
        read_object(tmp_path / "x")
    with pytest.raises(DataError, match=f"x: line 1: {words}"):
        list(read_lines(tmp_path / "x"))


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (Record.text, 3), (Record.words, None), (Record.texts, []), (Record.texts, ["a", 3]), (Record.number, True),
        (Record.number, float("nan")), (Record.number, "3"), (Record.whole, 3.0), (Record.flag, 1), (Record.name, None),
        (Record.record, []),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)  # fmt: skip
def test_a_value_of_another_kind_is_named(read: Callable[[Record, str], Any], value: Any) -> None:
    with pytest.raises(DataError, match="here: key: expected"):
        read(Record("here", {"key": value}), "key")


def test_the_area_is_that_of_the_word_most_like_the_answers(tmp_path: Path) -> None:
    regions = read_ocr(datasets.ocr(tmp_path))
    data, images = datasets.textvqa(tmp_path)
    assert [case.area for case in read_textvqa(data, images, regions)] == [pytest.approx(0.02), None]
    data, images = datasets.textcaps(tmp_path)
    assert [case.area for case in read_textcaps(data, images, regions=regions)] == [pytest.approx(0.02), None]


def test_counts_and_yes_or_no_go_by_the_question_and_by_the_largest_object(tmp_path: Path) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path)
    cases = read_vqav2(questions, annotations, images, read_instances(datasets.coco_instances(tmp_path)))
    assert [case.area for case in cases] == [
        pytest.approx(0.1),
        pytest.approx(0.1),
        pytest.approx(0.2),
        pytest.approx(0.2),
    ]
    spoil(annotations, lambda c: c["annotations"][0].update(answer_type="other"))
    spoil(annotations, lambda c: [each.update(answer="person") for each in c["annotations"][0]["answers"]])
    cases = read_vqav2(questions, annotations, images, read_instances(datasets.coco_instances(tmp_path)))
    assert cases[0].area == pytest.approx(0.2), "another answer names its object itself"


def test_likeness_counts_every_answer() -> None:
    regions = {"x": [Region("coca", 0.1), Region("pepsi", 0.2)]}
    assert covered_area(regions, "x", ["Coca Cola", "coca", "pepsi"]) == 0.1
    assert covered_area(regions, "x", ["pepsi", "PEPSI", "coca"]) == 0.2
    assert covered_area(regions, "y", ["coca"]) is None
    assert covered_area(regions, "x", []) is None
    assert covered_area(None, "x", ["coca"]) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["annotations"][1].update(area=0), r"annotations\[1\]: its area is 0; expected"),
        (lambda c: c["annotations"][1].update(image_id=77), r"annotations\[1\]: image 77 or category 18 is not in"),
        (lambda c: c["categories"].pop(), r"annotations\[0\]: image 9 or category 18 is not in"),
    ],
    ids=["no area", "no image", "no category"],
)
def test_objects_that_are_nowhere_are_named(change: Callable[[Any], None], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read_instances(spoil(datasets.coco_instances(tmp_path), change))


@pytest.mark.parametrize("kind", ["vqa10", "textvqa10"])
def test_a_manifest_is_not_judged_by_the_agreement_of_people_it_does_not_know(kind: Kind, tmp_path: Path) -> None:
    assert (vqa_accuracy("red", ["red"]), text_vqa_accuracy("red", ["red"])) == (0.0, 0.0)
    with pytest.raises(ManifestError, match=f"kind: {kind} counts the people who agree"):
        read_manifest_cases(datasets.manifest(tmp_path), kind)


def test_a_subset_is_drawn_at_random_and_the_same_for_a_seed() -> None:
    cases = [datasets.case(str(index)) for index in range(100)]
    one, again, other = subset(cases, 10, 1), subset(cases, 10, 1), subset(cases, 10, 2)
    assert one == again != other
    assert one == sorted(one, key=lambda case: int(case.id))
    assert one != cases[:10]
    assert subset(cases, None, 0) == subset(cases, 200, 0) == cases


def test_everyday_things_are_asked_for_by_name_place_and_number(tmp_path: Path) -> None:
    for name in ("cat", "light bulb", "mouse"):
        picture = tmp_path / "things" / "twemoji" / f"{name}-0.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (40, 40), (200, 30, 30, 255)).save(picture)
    Image.new("RGB", (300, 200), "gray").save(tmp_path / "wall.png")
    cases = read_things(tmp_path / "things", [tmp_path / "wall.png"], tmp_path / "made", 4, "test", "twemoji")
    assert cases == read_things(tmp_path / "things", [tmp_path / "wall.png"], tmp_path / "made", 4, "test", "twemoji")
    assert {each.kind for each in cases} == {"things", "thing", "count"}
    assert sum(each.kind == "things" for each in cases) == 12
    assert {name for each in cases if each.kind == "thing" for name in each.references} <= {
        "cat",
        "light bulb",
        "mouse",
    }
    assert {each.group.partition(" / ")[0] for each in cases if each.kind == "things"} == {
        "before a photograph",
        "before a drawn scene",
    }
    for each in cases:
        with Image.open(each.image_path) as image:
            assert image.mode == "RGB"
    with pytest.raises(ValueError, match="trained on"):
        read_things(tmp_path / "things", [tmp_path / "wall.png"], tmp_path / "made", 1, "train things 10", "twemoji")

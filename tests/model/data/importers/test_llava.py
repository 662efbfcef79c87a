"""LLaVA's conversations, and what others made of the format, become turns that stand alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.data.fields import DataError
from model.data.importers.importing import write_import
from model.data.importers.llava import llava_samples
from model.data.manifest import read_manifest
from tests.model.data.importers.test_public import Said, said
from tests.support import datasets

SHORT = "\nAnswer the question using a single word or phrase"
CHOICE = "\nAnswer with the option's letter from the given choices directly."


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]


def sample(*texts: str, **more: Any) -> dict[str, Any]:
    return {"id": "000000033471", "image": "a.jpg", "conversations": talk(*texts)} | more


def imported(folder: Path, *samples: Any, lines: bool = False, without: tuple[str, ...] = ()) -> tuple[Said, list[str]]:
    datasets.picture(folder / "a.jpg")
    file = folder / "llava.json"
    texts = [json.dumps(each) for each in samples]
    file.write_text("\n".join(texts) if lines else f"[{','.join(texts)}]", encoding="utf-8")
    report = write_import(llava_samples(file, folder, without), folder / "mine.jsonl")
    return said(read_manifest(folder / "mine.jsonl")), [text.replace(str(file), "FILE") for text in report.told()]


ASKED = ("What colour?\n<image>", "Red.", "And why?", "Because.")


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_every_turn_is_a_line_and_the_mark_of_the_image_is_taken_out(lines: bool, tmp_path: Path) -> None:
    expected = [("a.jpg", "What colour?", "Red."), ("a.jpg", "And why?", "Because.")]
    for asked in (ASKED, ("<image>\nWhat colour?", *ASKED[1:]), ("What <image> colour?", *ASKED[1:])):
        found, told = imported(tmp_path, sample(*asked, id=7), lines=lines)
        assert [(name, " ".join(words.split()), answer) for name, words, answer in found] == expected
        assert told == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"id": 3, "conversations": talk("Hi", "Hello")}, "sample without an image: FILE: [1] (id 3)"),
        (sample("Q", "A", image=["a.jpg", "b.jpg"]), "sample with several images: FILE: [1] (id 000000033471)"),
        (sample("<image><image>Q", "A"), "conversation about several images: FILE: [1] (id 000000033471)"),
        (sample("Q", "A", image="https://x/a.jpg"), "sample whose image is a URL: fetch it first: FILE: [1] (id"),
        (sample("Q", "A", image={"bytes": ""}), "sample whose image is no path: FILE: [1] (id"),
        ({"image": "a.jpg"}, "sample without conversations: FILE: [1]"),
        (sample("Q", "A", conversations=[3]), "conversation with something that is no message: FILE: [1] (id"),
        (sample("Q", "A", conversations=[{"from": "human"}]), "conversation with a message that has no speaker or no"),
        (sample("Q"), "question without an answer: FILE: [1] (id"),
        (sample("Q", " "), "turn without an answer: FILE: [1] (id"),
        (sample("<image>", "A"), "turn without a question: FILE: [1] (id"),
        (sample("Q", "A", image="b.jpg"), "image file missing: "),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_skipped_and_named(wrong: Any, told: str, tmp_path: Path) -> None:
    found, remarks = imported(tmp_path, sample("Q", "A"), wrong)
    assert found == [("a.jpg", "Q", "A")]
    assert len(remarks) == 1
    assert remarks[0].startswith(told)


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    found, remarks = imported(tmp_path, sample("Q", "A 😀"), sample("Q", "A \ud83d"), lines=True)
    assert found == [("a.jpg", "Q", "A 😀")]
    assert remarks == ["turn with half of a character in its text: FILE: line 2 (id 000000033471)"]
    assert imported(tmp_path, sample("Q", "A 😀"))[0] == [("a.jpg", "Q", "A 😀")]


def test_turns_out_of_order_are_skipped_and_the_others_kept(tmp_path: Path) -> None:
    mixed = [{"from": "system", "value": "Be good"}, *talk("One?", "1")]
    mixed = [*mixed[:1], {"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Zero?"}, *mixed[1:]]
    found, remarks = imported(tmp_path, sample(conversations=mixed))
    assert found == [("a.jpg", "One?", "1")]
    assert [text.split(":")[0] for text in remarks] == ["answer without a question", "question without an answer"]


def test_chat_messages_of_parts_are_read_too(tmp_path: Path) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "text", "text": "Red"}]}]
    assert imported(tmp_path, {"images": ["a.jpg"], "messages": messages})[0] == [("a.jpg", "What?", "Red")]


def test_a_format_asked_for_once_is_asked_for_in_every_turn_that_has_it(tmp_path: Path) -> None:
    first = "<image>\nWhat is seen?\nAnswer the question using a single word or phrase."
    found, _ = imported(
        tmp_path, sample(first, "Net", "Who plays?", "pitcher", "Why?", "He likes to play with them all")
    )
    assert [words for _, words, _ in found] == ["What is seen?" + SHORT, "Who plays?" + SHORT, "Why?"]


def test_prompts_of_llava_become_those_of_table_3_and_ocr_tokens_are_taken_out(tmp_path: Path) -> None:
    caption = "Provide a one-sentence caption for the provided image."
    tokens = "\nReference OCR token: NOKIA, 12:30"
    found, told = imported(
        tmp_path,
        sample(f"<image>\n{caption}{tokens}", "A Nokia phone."),
        sample(f"<image>\nWhich brand?{tokens}\nAnswer the question using a single word or phrase.", "nokia"),
        sample("<image>\nBy?\nA. x\nB. y\nAnswer with the option\u2019s letter from the given choices directly.", "B"),
        sample(f"<image>\n{caption}", "A phone."),
    )
    assert [words for _, words, _ in found] == [
        "Generate a one-sentence caption for the provided image, incorporating textual elements visible in the image.",
        "Which brand?" + SHORT,
        "By?\nA. x\nB. y" + CHOICE,
        caption.rstrip("."),
    ]
    assert told[0].startswith("2 x OCR tokens taken out of a question: FILE: [0]")


def test_parts_of_a_mixture_are_left_out_by_path_or_question(tmp_path: Path) -> None:
    box = sample("<image>\nGive the bounding box of the dog", "[0, 1]")
    found, told = imported(tmp_path, sample("Q", "A"), sample("R", "B", image="vg/1.jpg"), box, without=("vg/", "box"))
    assert found == [("a.jpg", "Q", "A")]
    assert told[0].startswith("2 x sample left out by --without: FILE: [1]")


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "there is nothing in it"), ('{"a": 1}\n{', "line 2: not JSON"), ("[1]", r"\[0\]: expected an object")],
    ids=["empty", "cut line", "numbers"],
)
def test_a_file_of_another_kind_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=words):
        list(llava_samples(tmp_path / "x.json", tmp_path))

"""Survey of a manifest: every kind of mistake is named with its line and field, and its numbers are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model.data.check.measures import ModelLimits, Quantiles
from model.data.check.survey import ManifestSurvey, survey
from model.prompt import question_instruction
from tests.model.data.test_manifest import line, manifest

SHORT = question_instruction("What?", "short")
LIMITS = ModelLimits("small", lambda text: list(text.encode()), 600, 100, lambda text: len(text) // 4)  # a byte a token


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    Image.effect_noise((64, 64), 50).save(tmp_path / "blue.png")
    return tmp_path


def looked(folder: Path, *lines: object, limits: ModelLimits | None = None, decode: int = 10) -> ManifestSurvey:
    return survey(manifest(folder, *lines), limits, decode=decode, samples=2)


def found(survey: ManifestSurvey) -> list[tuple[str, bool, int, str]]:
    return [(each.what, each.is_error, each.count, each.places[0]) for each in survey.findings]


def test_a_good_manifest_has_numbers_and_nothing_to_find(folder: Path) -> None:
    caption = line(image="blue.png", instruction="Describe the provided image", response="A blue bus in the rain")
    result = looked(folder, line(instruction=SHORT), line(instruction=f"And {SHORT}"), caption)
    assert found(result) == []
    assert (result.lines, result.images, result.decoded) == (3, 2, 2)
    assert result.turns == Quantiles(1, 1, 2, 2)
    assert result.words == Quantiles(1, 1, 6, 6)
    assert result.pixels == Quantiles(64, 64, 4096, 4096)
    assert result.formats == {"word or phrase": 2, "normal caption": 1}
    assert len(result.samples) == 2
    assert (result.tokens, result.context) == (None, None)


LONG = "Describe the provided image"
CASES: dict[str, tuple[list[Any], tuple[str, bool, int, str]]] = {
    "field": (
        [line(response=" ")],
        ("line that is not as it should be", True, 1, "line 2: response: ' ' is not a text"),
    ),
    "missing": (
        [line(image="no.png", instruction=SHORT), line(image="no.png", instruction=f"And {SHORT}")],
        ("image file missing", True, 2, "line 2: image: no.png"),
    ),
    "twice": ([line(instruction=SHORT)], ("line that is there twice", False, 1, "lines 1 and 2")),
    "two answers": (
        [line(instruction=SHORT, response="blue")],
        ("same question with two answers", False, 1, "lines 1 and 2: blue"),
    ),
    "space": (
        [line(instruction=LONG, response=" a red and blue bus")],
        ("spaces around a text, which are learned too", False, 1, "line 2: response"),
    ),
    "mark": (
        [line(instruction=f"<image>{SHORT}")],
        ("<image> in a text; the model gets the image in another way", False, 1, "line 2"),
    ),
    "prompt": (
        [line(instruction=SHORT + ".")],
        (
            "response formatting prompt in other words than the model's (Answer the question using a single word or "
            "phrase)",
            False,
            1,
            "line 2: Answer the question using a single word or phrase.",
        ),
    ),
    "context": (
        [line(instruction=LONG, response="red " * 100 + ".")],
        ("instruction and response longer than the 600 tokens that small reads", True, 1, "line 2: 637 tokens"),
    ),
    "cut": (
        [line(instruction=LONG, response="red " * 30 + ".")],
        ("response longer than the 100 tokens at which a served answer is cut", False, 1, "line 2: 123 tokens"),
    ),
    "crowd": (
        [line(instruction=f"{place} {SHORT}") for place in range(25)]
        + [line(image=f"{place}.png", instruction=SHORT) for place in range(3)],
        ("image with far more lines than the others", False, 1, "red.png: 26 lines"),
    ),
    "script": (
        [line(instruction=LONG, response="красный автобус на улице")],
        (
            "letters that the tokenizer knows only byte by byte: slow to write, and hardly learned",
            False,
            1,
            "Cyrillic: 2.0 tokens a letter, from line 2 on (small)",
        ),
    ),
    "no spaces": (
        [line(instruction="What now?", response="長い説明がここに続きますのでご覧ください")],
        (
            "letters that the tokenizer knows only byte by byte: slow to write, and hardly learned",
            False,
            1,
            "Hiragana: 3.0 tokens a letter, from line 2 on (small)",
        ),
    ),
    "brief": (
        [line(instruction=f"What {place}?") for place in range(3)],
        (
            "answers of 3 words or fewer without the prompt that asks for a word or phrase",
            False,
            1,
            "3 lines; importers add it with --answer-style short",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_named_with_its_line(name: str, folder: Path) -> None:
    lines, expected = CASES[name]
    for place in range(3 * (name == "crowd")):
        Image.new("RGB", (8, 8)).save(folder / f"{place}.png")
    result = looked(folder, line(instruction=SHORT), *lines, limits=LIMITS)
    spelled = "words that the tokenizer spells letter by letter"  # this one knows bytes alone
    here = [finding for finding in found(result) if finding[0] != spelled]
    assert here == [expected]


def test_words_that_a_tokenizer_spells_out_are_told(folder: Path) -> None:
    result = looked(folder, line(instruction=LONG, response="a long bus in the rain"), limits=LIMITS)
    assert found(result)[0][0] == "words that the tokenizer spells letter by letter"
    assert found(result)[0][3] == "1.0 tokens a letter (small)"
    assert result.tokens == Quantiles(24, 24, 24, 24)


def test_images_are_read_to_the_end_or_by_their_head(folder: Path) -> None:
    data = (folder / "blue.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "torn.png").write_bytes(b"no image")
    lines = [line(image=name, instruction=SHORT) for name in ("cut.png", "torn.png")]
    named = found(looked(folder, *lines))
    assert named[0][:3] == ("image that cannot be read", True, 2)
    assert named[0][3].startswith("line 1: image: cut.png: ")
    assert found(looked(folder, *lines, decode=0))[0][3].startswith(
        "line 2: image: torn.png: cannot identify image file"
    )


def test_nothing_to_use_is_an_error(folder: Path) -> None:
    assert found(looked(folder, ""))[0][:2] == ("no line that can be used", True)


def test_a_text_whose_length_alone_is_too_much_is_not_encoded(folder: Path) -> None:
    limits = ModelLimits("small", lambda _: pytest.fail("encoded"), 600, 100, lambda text: len(text) // 4)
    path = folder / "m.jsonl"
    path.write_text(json.dumps(line(instruction="Tell me", response="é" * 10_000)) + "\n", encoding="utf-8")
    what = "instruction and response longer than the 600 tokens that small reads"
    result = survey(path, limits, decode=0, samples=0)
    ((said, is_error, _, place),) = found(result)
    assert (said, is_error) == (what, True)
    assert place.startswith("line 1: more than 25")

"""Manifests: lines become samples, and what is wrong is named with its line."""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from model.data.manifest import Line, ManifestError, line_text, read_manifest
from model.data.samples import Turn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in (("red.png", (255, 0, 0, 255)), ("blue.png", (0, 0, 255, 128))):
        Image.new("RGBA", (8, 8), colour).save(tmp_path / name)
    return tmp_path


def manifest(folder: Path, *lines: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def line(**changes: object) -> dict[str, object]:
    return {"image": "red.png", "instruction": "What?", "response": "red"} | changes


def test_lines_about_one_image_are_turns_of_one_sample(folder: Path) -> None:
    lines = (line(), line(image="blue.png", response="blue"), "", line(instruction="Why?"), line())
    source = read_manifest(manifest(folder, *lines))
    assert len(source) == 2
    assert source[0].turns == (Turn("What?", "red"), Turn("Why?", "red"))
    assert source[1].turns == (Turn("What?", "blue"),)
    assert source[1].image.mode == "RGB"
    assert source[1].image.getpixel((0, 0)) == (127, 127, 255)  # on white, as a served image is


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("{", "line 2: not JSON"),
        ([1], "line 2: expected an object with image, instruction, response"),
        (line(answer="red"), "line 2: unknown key 'answer'; known are image, instruction, response"),
        ({"image": "red.png", "instruction": "What?"}, "line 2: 'response' is missing"),
        (line(response=" "), "line 2: response: ' ' is not a text"),
        (line(instruction=3), "line 2: instruction: 3 is not a text"),
        (line(image="green.png"), "line 2: image: there is no file .*green.png"),
        (line(image="x" * 5000), "line 2: image: there is no file .*x"),
        (line(response="\ud83d"), "line 2: response: there is half of a character in it"),
        (line(response=["x" * 9999]), r"line 2: response: \['x{198}\.\.\. is not a text"),
    ],
    ids=[
        "no json",
        "no object",
        "unknown key",
        "missing key",
        "empty",
        "no text",
        "no file",
        "long name",
        "half a character",
        "long list",
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong(folder: Path, wrong: object, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        read_manifest(manifest(folder, line(), wrong))


def test_a_line_that_is_not_utf_8_is_named(folder: Path) -> None:
    path = manifest(folder, line())
    path.write_bytes(path.read_bytes() + b'{"image": "red.png", "instruction": "Caf\xe9", "response": "x"}\n')
    with pytest.raises(ManifestError, match="line 2: not UTF-8, from byte 40 of the line on"):
        read_manifest(path)


def test_an_image_of_very_many_pixels_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    with pytest.raises(ManifestError, match=r"red.png: cannot be read as an image: .* decompression bomb"):
        read_manifest(manifest(folder, line()))[0]


def test_several_wrong_lines_are_named_at_once_and_very_many_are_counted(folder: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(folder, *["{"] * 8))
    assert [text.split(": ")[0].rpartition(", ")[2] for text in str(caught.value).splitlines()[:5]] == [
        f"line {number}" for number in range(1, 6)
    ]
    assert str(caught.value).endswith("and 3 lines more")


@pytest.mark.parametrize("text", [None, "\n"], ids=["no file", "no line"])
def test_a_manifest_with_nothing_in_it_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "manifest.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ManifestError, match=r"manifest\.jsonl: there is no"):
        read_manifest(path)


def test_an_image_that_cannot_be_read_is_named_when_it_is_needed(folder: Path) -> None:
    (folder / "torn.png").write_bytes(b"not an image")
    source = read_manifest(manifest(folder, line(image="torn.png")))
    with pytest.raises(ManifestError, match=r"torn.png: cannot be read as an image"):
        source[0]


def test_the_camera_s_orientation_is_applied_as_when_serving(folder: Path) -> None:
    picture = Image.new("RGB", (8, 4))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif)
    assert read_manifest(manifest(folder, line(image="turned.jpg")))[0].image.size == (4, 8)


def test_what_is_written_can_be_read(folder: Path) -> None:
    odd = os.fsdecode(b"b\xff.png")  # no UTF-8
    (folder / "red.png").rename(folder / odd)
    lines = [Line(odd, "Où\u2028donc ?", "là\x85"), Line("blue.png", "Was\x0bist das?", "😀\x1c")]
    path = folder / "manifest.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + "".join(map(line_text, lines)).replace("\n", "\r\n").encode())
    source = read_manifest(path)
    assert source.turns == tuple((Turn(line.instruction, line.response),) for line in lines)
    assert source[0].image.getpixel((0, 0)) == (255, 0, 0)

"""`pheye manifest`: each command writes a manifest and tells what was left out; `check` says what is wrong with one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.data.importers import easy_vqa, hugging_face
from model.data.importers.importing import FoundSample, ImportRefused
from model.data.manifest import read_manifest
from model.data.samples import Turn
from service.cli.main import app
from tests.model.data.importers import test_public as public
from tests.support import datasets


def pheye(*words: object) -> Any:
    return CliRunner().invoke(app, ["manifest", *map(str, words)])


def pictures(folder: Path) -> Path:
    for name in ("1.jpg", "2.jpg", "10.jpg"):
        datasets.picture(folder / "pictures" / name)
    return folder / "pictures"


def llava(folder: Path) -> list[object]:
    talk = [{"from": "human", "value": "What?\n<image>"}, {"from": "gpt", "value": "A bus."}]
    samples = [{"id": 1, "image": "1.jpg", "conversations": talk}, {"id": 2, "conversations": talk}]
    return [datasets.write(folder / "llava.json", samples), "--images", pictures(folder)]


def csv(folder: Path) -> list[object]:
    (folder / "t.csv").write_text("1.jpg;What?;red\n")
    words = ["--header", "image,question,answer", "--answer-style", "short", "--delimiter", ";"]
    return [folder / "t.csv", "--images", pictures(folder), *words]


def captioned(folder: Path) -> list[object]:
    (folder / "captions.txt").write_text("1.jpg: One\n2.jpg: Two\n")
    return [pictures(folder), "--captions", folder / "captions.txt", "--length", "short"]


def of_a_file(write: Callable[[Path], Path]) -> Callable[[Path], list[object]]:
    return lambda folder: [write(folder), "--images", folder]


COMMANDS: dict[str, tuple[Callable[[Path], list[object]], str]] = {
    "folder": (captioned, "2 lines about 2 images in "),
    "csv": (csv, "1 lines about 1 images in "),
    "llava": (llava, "1 lines about 1 images in "),
    "vqav2": (
        lambda folder: [*(made := datasets.vqav2(folder))[:2], "--images", made[2]],
        "4 lines about 2 images in ",
    ),
    "textvqa": (lambda folder: list(images_named(datasets.textvqa(folder))), "2 lines about 2 images in "),
    "textcaps": (lambda folder: list(images_named(datasets.textcaps(folder))), "5 lines about 2 images in "),
    "st-vqa": (of_a_file(public.st_vqa), "1 lines about 1 images in "),
    "gqa": (of_a_file(public.gqa), "1 lines about 1 images in "),
    "ocr-vqa": (of_a_file(public.ocr_vqa), "2 lines about 1 images in "),
    "a-okvqa": (of_a_file(public.a_okvqa), "1 lines about 1 images in "),
}


def images_named(made: tuple[Path, Path]) -> tuple[object, ...]:
    return made[0], "--images", made[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_writes_a_manifest_that_training_reads(name: str, tmp_path: Path) -> None:
    words, told = COMMANDS[name]
    target = tmp_path / "out" / "mine.jsonl"
    made = words(tmp_path)
    files = [word for word in made if isinstance(word, Path) and word.is_file() and word.suffix != ".txt"]
    place = len(files) or 1  # the manifest stands behind what is read
    typed = [*made[:place], target, *made[place:]]
    written = pheye(name, *typed)
    assert written.exit_code == 0, written.stderr
    assert written.stdout == f"{told}{target}\n"
    assert f"pheye manifest check {target}" in written.stderr
    assert len(read_manifest(target)) >= 1
    again = pheye(name, *typed)
    assert again.exit_code == 2
    assert again.stderr == f"pheye: {target}: is there already; --overwrite replaces it\n"
    assert pheye(name, *typed, "--overwrite").exit_code == 0


def test_what_was_skipped_is_counted_and_named_and_a_missing_image_may_end_it(tmp_path: Path) -> None:
    data, flag, images = llava(tmp_path)
    written = pheye("llava", data, tmp_path / "mine.jsonl", flag, images)
    assert written.stderr.splitlines()[:2] == [
        "pheye: 1 skipped",
        f"       sample without an image: {data}: [1] (id 2)",
    ]
    (tmp_path / "pictures" / "1.jpg").unlink()
    refused = pheye("llava", data, tmp_path / "other.jsonl", flag, images, "--missing", "refuse")
    assert refused.exit_code == 2
    assert refused.stderr.endswith("there is no such image; --missing skip leaves such samples out\n")
    assert not (tmp_path / "other.jsonl").exists()
    assert pheye("llava", data, data, flag, images, "--overwrite").stderr.endswith(
        "name another file for the manifest\n"
    )


def test_easy_vqa_and_hugging_face_are_told_of_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = FoundSample("1", (datasets.picture(tmp_path / "a.png"),), (Turn("What?", "red"),))
    monkeypatch.setattr(easy_vqa, "training_samples", lambda: [sample])
    assert pheye("easy-vqa", tmp_path / "easy.jsonl").stdout == f"1 lines about 1 images in {tmp_path}/easy.jsonl\n"
    asked = []

    def read(source: object, *rest: object) -> Iterator[FoundSample]:
        asked.append((source, rest[0]))
        yield sample

    monkeypatch.setattr(hugging_face, "hugging_face_samples", read)
    assert pheye("hugging-face", "some/thing", tmp_path / "hf.jsonl", "--split", "test").exit_code == 0
    assert asked == [(hugging_face.HuggingFaceSource("some/thing", None, "test"), tmp_path / "hf-images")]

    def interrupted(*_: object) -> Iterator[FoundSample]:
        yield sample
        raise KeyboardInterrupt

    monkeypatch.setattr(hugging_face, "hugging_face_samples", interrupted)
    stopped = pheye("hugging-face", "some/thing", tmp_path / "other.jsonl")
    assert (stopped.exit_code, (tmp_path / "other.jsonl").exists()) == (130, False)
    monkeypatch.setattr(hugging_face, "hugging_face_samples", lambda *_: fails())
    assert pheye("hugging-face", "x", tmp_path / "x.jsonl").stderr == "pheye: not there\n"


def fails() -> list[FoundSample]:
    raise ImportRefused("not there")


@pytest.mark.parametrize(
    "words",
    [["--instruction", " "], ["--delimiter", ",,"], ["--images", "nowhere"]],
    ids=["instruction", "delimiter", "images"],
)
def test_an_option_without_sense_is_refused(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x")
    refused = pheye("csv", tmp_path / "t.csv", tmp_path / "mine.jsonl", *words)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"pheye: {words[0]}: ")


def test_check_shows_samples_and_numbers_and_ends_with_1_on_errors(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    odd = folder / os.fsdecode(b"\xff\n.jpg")
    (folder / "2.jpg").rename(odd)
    odd.with_suffix(".txt").write_text("A red bus in the rain")
    target = tmp_path / "mine.jsonl"
    assert pheye("folder", folder, target, "--instruction", "What is\nthere to see?").exit_code == 0
    good = pheye("check", target)
    assert good.exit_code == 0, good.stderr
    report = good.stdout.splitlines()
    assert report[0] == f"{target}: 1 lines about 1 images"
    assert {"words a response   6", "response formats   free 100%"} <= set(report)
    assert any(row.startswith("tokens a line ") and row.endswith("; pheye-tiny reads 1024") for row in report)
    assert report[-5:] == [
        "",
        "pictures/\\udcff\\n.jpg",
        "  > What is",
        "  > there to see?",
        "    A red bus in the rain",
    ]
    target.write_bytes(target.read_bytes() + b'{"image": "gone.jpg", "instruction": "Why?", "response": "It is so"}\n')
    bad = pheye("check", target, "--samples", 0)
    assert bad.exit_code == 1
    assert "error: image file missing\n    line 2: image: gone.jpg\n" in bad.stdout
    told = json.loads(pheye("check", target, "--json").stdout)
    assert (told["lines"], told["turns"]["most"]) == (2, 1)
    assert told["findings"][0]["places"] == ["line 2: image: gone.jpg"]


def test_check_of_nothing_or_for_no_model_cannot_be_run(tmp_path: Path) -> None:
    assert pheye("check", tmp_path / "no.jsonl").stderr == f"pheye: {tmp_path}/no.jsonl: there is no such file\n"
    (tmp_path / "mine.jsonl").write_text("{}")
    refused = pheye("check", tmp_path / "mine.jsonl", "--model", "random:nothing")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("pheye: --model: ")

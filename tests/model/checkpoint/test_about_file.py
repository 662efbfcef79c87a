"""`about.json` of a checkpoint: optional, read as a stranger's file, kept by convert and by training on scenes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.about import About, SamplePicture
from model.checkpoint.about_file import read_about
from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.conversion import convert
from model.data.manifest import read_manifest
from model.data.mixture import STREAMS
from model.training.artifacts.export import Trained, export
from model.training.planning.data import TrainingData
from model.training.run import _about
from tests.support.hub import hub_of
from tests.support.small_model import small_checkpoint, small_folder, write_pictures

ABOUT = About("corners", "I see no corner.", ("Which corner?",), (SamplePicture("a", "A", "a.png", ()),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("about") / "small")


@pytest.fixture(autouse=True)
def nothing_left(folder: Path):
    yield
    for name in ("about.json", "a.png"):
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, about: object) -> None:
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def test_a_checkpoint_may_say_nothing_of_itself(folder: Path) -> None:
    assert read_about(folder) is None
    assert open_checkpoint(str(folder)).about is None


def test_what_it_says_is_opened_with_it_and_kept_with_its_pictures_when_it_is_converted(
    folder: Path, tmp_path: Path
) -> None:
    write(folder, ABOUT.as_json())
    (folder / "a.png").write_bytes(b"a picture")
    assert open_checkpoint(str(folder)).about == ABOUT
    convert(str(folder), tmp_path / "converted")
    assert read_about(tmp_path / "converted") == ABOUT
    assert (tmp_path / "converted" / "a.png").read_bytes() == b"a picture"


def test_the_pictures_of_a_model_on_the_hub_are_kept_with_it_when_it_is_converted(folder: Path, tmp_path: Path) -> None:
    name = "a [1]*.png"  # letters that mean something else in patterns
    told = replace(ABOUT, samples=(replace(ABOUT.samples[0], file=name),))
    shutil.copytree(folder, tmp_path / "uploaded")
    write(tmp_path / "uploaded", told.as_json())
    (tmp_path / "uploaded" / name).write_bytes(b"a picture")
    (tmp_path / "uploaded" / "a large thing").write_bytes(b"that no model needs")
    code = "import sys; from pathlib import Path; from model.checkpoint.conversion import convert\n"
    code += "convert('someone/small', Path(sys.argv[1]))"
    with hub_of({"someone/small": tmp_path / "uploaded"}) as where:
        environment = os.environ | where | {"HF_HUB_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", code, str(tmp_path / "converted")]
        subprocess.run(command, env=environment, check=True)
    assert read_about(tmp_path / "converted") == told
    assert (tmp_path / "converted" / name).read_bytes() == b"a picture"
    assert not [*(tmp_path / "cache").rglob("a large thing")]


def link_elsewhere(folder: Path) -> None:
    (folder / "about.json").symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: write(folder, ABOUT.as_json() | {"knows": 1}), r"about\.json: knows: expected one line"),
        (lambda folder: write(folder, [1]), r"about\.json: expected a JSON object"),
        (lambda folder: write(folder, {"knows": "x" * 70_000}), r"about\.json: 70\d+ bytes are more than the 65536"),
        (link_elsewhere, r"about\.json: a link to .*, outside its folder"),
        (lambda folder: os.mkfifo(folder / "about.json"), r"about\.json: not a regular file"),
    ],
    ids=["field", "list", "large", "link", "pipe"],
)
def test_a_checkpoint_with_a_wrong_one_is_refused_by_its_name(
    spoil: Callable[[Path], None], words: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=words):
        open_checkpoint(str(folder))


def test_training_passes_it_on_after_the_world_s_own_scenes_alone(tmp_path: Path) -> None:
    own, mine = replace(small_checkpoint(), about=ABOUT), read_manifest(write_pictures(tmp_path / "mine", 2))
    scenes = STREAMS["scenes"]()
    passed_on = _about(own, TrainingData(("scenes", "scenes"), (scenes, scenes)))
    assert passed_on == replace(ABOUT, samples=()), "nobody has looked at what the new weights say of the samples"
    assert _about(own, TrainingData(("scenes", "mine.jsonl"), (scenes, mine))) is None
    assert _about(small_checkpoint(), TrainingData(("scenes",), (scenes,))) is None
    export(Trained(own.config, own.ranks, own.tensors, own.tokenizer, {}, passed_on), tmp_path / "model")
    assert read_about(tmp_path / "model") == passed_on

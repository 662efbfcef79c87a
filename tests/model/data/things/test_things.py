"""Scenes of everyday things: named as they are, the same each time, and painted from free icon sets."""

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from model.data.mixture import stream
from model.data.outside.pictures import Pictures, PicturesMissing
from model.data.things import collecting
from model.data.things.captions import caption, listing
from model.data.things.names import NAMES
from model.data.things.pictures import ThingPictures, ThingsMissing
from model.data.things.questions import turns_about_a_crowd, turns_about_things
from model.data.things.scene import draw_things
from model.data.things.source import ThingSource
from model.data.things.wording import a, plural
from model.data.world.captions import NOTHING, place
from model.data.world.scene import COLOURS, SHAPES
from tests.support.thing_pictures import thing_pictures

ICONS = {
    "icons": {
        "cat": {"body": '<circle cx="32" cy="32" r="30" fill="#f00"/>'},
        "dog-face-2": {"body": '<path d="M0 0h64v64z" fill="#00f"/>'},
        "flag-of-mars": {"body": '<path d="M0 0h64v9z" fill="#0f0"/>'},
        "red-circle": {"body": '<circle cx="32" cy="32" r="30" fill="#f00"/>'},
        "cat-dark-skin-tone": {"body": "<g/>"},
    },
    "aliases": {"dog": {"parent": "dog-face-2"}, "turned-cat": {"parent": "cat", "rotate": 1}},
    "width": 64,
    "height": 64,
}


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thing_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def pictures(things: Path) -> ThingPictures:
    return ThingPictures(things / "things", (collecting.ASKED_STYLE,))


def test_there_are_two_hundred_names_none_of_which_is_a_shape_or_a_color():
    assert len(NAMES) >= 200
    assert not set(NAMES) & {*SHAPES, *COLOURS} - {"orange"}
    plurals = [plural(name) for name in NAMES]
    assert len(set(plurals)) == len(plurals)
    assert all(re.fullmatch("[a-z]+([ -][a-z]+)?", name) for name in NAMES)


@pytest.mark.parametrize(
    ("name", "one", "many"),
    [("cat", "a cat", "cats"), ("apple", "an apple", "apples"), ("unicorn", "a unicorn", "unicorns"),
     ("wine glass", "a wine glass", "wine glasses"), ("tomato", "a tomato", "tomatoes"), ("sheep", "a sheep", "sheep")],
)  # fmt: skip
def test_names_have_articles_and_plurals(name, one, many):
    assert (a(name), plural(name)) == (one, many)


@pytest.mark.parametrize("photographed", [False, True])
@pytest.mark.parametrize("crowded", [False, True])
def test_a_scene_is_the_same_each_time_and_its_things_stand_apart(pictures, photographed, crowded):
    photograph = Image.new("RGB", (240, 180), "gray") if photographed else None
    for seed in range(8):
        scene, image = draw_things(Random(seed), pictures, ["cat", "bus", "cat"], photograph, crowded)
        again, same = draw_things(Random(seed), pictures, ["cat", "bus", "cat"], photograph, crowded)
        assert scene == again
        assert image.tobytes() == same.tobytes()
        together = [each.box for each in (*scene.things, *scene.behind.shapes, *scene.behind.signs)]
        assert not any(one.meets(other, 0) for one in together for other in together if one is not other)
        assert {thing.name for thing in scene.things} <= {"cat", "bus"}
        assert not (crowded and (scene.behind.shapes or scene.behind.signs))


def test_captions_and_lists_name_every_thing_with_its_place(pictures):
    for seed in range(12):
        scene, _ = draw_things(Random(seed), pictures, ["hourglass", "light bulb", "mouse"])
        for thing in scene.things:
            assert f"{a(thing.name)} {place(thing.box)}" in caption(scene, "normal").lower()
            assert f"{place(thing.box)} {a(thing.name)}" in listing(scene).lower()
            assert f"{a(thing.name)} is {place(thing.box)}." in caption(scene, "long").lower()
            assert a(thing.name) in caption(scene, "short").lower()
            assert a(thing.name) in caption(scene, "short", "scene_text").lower()
        assert (scene.behind.sign is None) == ("There is no sign." in caption(scene, "long"))


def test_answers_are_true_of_the_scene(pictures):
    asked = set()
    for seed in range(150):
        rng = Random(seed)
        scene, _ = draw_things(rng, pictures, [rng.choice(pictures.names) for _ in range(rng.randint(1, 4))])
        there = [thing.name for thing in scene.things]
        for turn in turns_about_things(scene, pictures.names, rng, 5):
            question = turn.instruction.partition("\n")[0]
            for name in pictures.names:
                if turn.response.lower() in ("yes", "no") and re.search(rf"(there|see) {a(name)}\b", question):
                    assert (turn.response.lower() == "yes") == (name in there)
                    asked.add("exists")
                if turn.response.isdigit() and plural(name) in question.split():
                    assert int(turn.response) == there.count(name)
                    asked.add("count")
            for thing in scene.things:
                if question.endswith((f"the {thing.name}?",)) and turn.response in (place(t.box) for t in scene.things):
                    assert turn.response in [place(other.box) for other in scene.things if other.name == thing.name]
                    asked.add("where")
            if turn.response in pictures.names:
                assert turn.response in there
                asked.add("what")
    assert asked == {"exists", "count", "where", "what"}


def test_a_crowd_is_listed_and_asked_for_by_places_that_hold_one_thing(pictures):
    scene, _ = draw_things(Random(3), pictures, [*pictures.names, *pictures.names], crowded=True)
    turns = turns_about_a_crowd(scene, Random(1), 4)
    assert turns[0].response == listing(scene)
    assert 2 <= len(turns) <= 4
    assert len({turn.instruction for turn in turns}) == len(turns)


def test_a_third_of_the_scenes_stand_before_photographs(things):
    source = ThingSource("test", ThingPictures(things / "things", collecting.TRAINED_STYLES[:1]), Pictures(things))
    long = [
        turn.response for index in range(0, 400, 2) for turn in source[index].turns if "picture shows" in turn.response
    ]
    assert 0.1 < sum("photograph background" in each for each in long) / len(long) < 0.65
    assert source[5].image.tobytes() == source[5].image.tobytes()
    assert all(source[index].turns for index in range(1, 40, 2))


def test_half_of_the_stream_shows_things_and_those_without_a_name_are_not_known(things):
    mixture = stream(f"things:{things}")
    assert mixture is not None
    said = [{turn.response for turn in mixture[index].turns} for index in range(24)]
    assert sum(any(f" {name}" in each for each in responses for name in NAMES) for responses in said) >= 11
    assert {NOTHING} in [said[0], said[6]]
    assert mixture[1].turns == stream(f"things:{things}")[1].turns  # type: ignore[index]


def test_an_empty_folder_is_refused_with_the_command_that_fills_it(tmp_path):
    for show in (lambda things: things.of("cat", Random(1)), lambda things: things.nameless(Random(1))):
        with pytest.raises(ThingsMissing, match="pheye dev things"):
            show(ThingPictures(tmp_path, ("noto",)))


@pytest.mark.parametrize("kind", ["truthful", "things"])
def test_a_stream_of_an_empty_folder_is_refused_when_it_is_opened(kind: str, tmp_path: Path) -> None:
    with pytest.raises(PicturesMissing, match="pheye dev photographs"):
        stream(f"{kind}:{tmp_path}")


def packed(files: dict[str, bytes], archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def npm(files: dict[str, bytes], monkeypatch) -> None:
    def run(command, cwd, **_):
        packed(files, Path(cwd) / "set.tgz")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(collecting, "SETS", collecting.SETS[:1])
    monkeypatch.setattr(collecting.subprocess, "run", run)


def test_a_set_is_painted_by_name_and_its_shapes_and_tinted_people_are_left_out(tmp_path, monkeypatch):
    npm({"package/icons.json": json.dumps(ICONS).encode()}, monkeypatch)
    monkeypatch.setattr(collecting, "_OTHERS_EVERY", 1)
    assert collecting.collect(tmp_path) == 4
    folder = tmp_path / collecting.SETS[0].name
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert made == ["cat-0.png", "dog-0.png", "dog-1.png", "others/flag-of-mars.png"]
    with Image.open(folder / "cat-0.png") as cat:
        assert (cat.mode, cat.size) == ("RGBA", (collecting.SIDE_PX, collecting.SIDE_PX))
        assert cat.getpixel((72, 72)) == (255, 0, 0, 255)
        assert cat.getpixel((1, 1))[3] == 0
    monkeypatch.setattr(collecting.subprocess, "run", None)
    assert collecting.collect(tmp_path) == 4, "what is there is not fetched again"


@pytest.mark.parametrize("files", [{}, {"package/icons.json": b"{"}, {"package/other.json": b"{}"}])
def test_a_set_that_is_not_what_it_should_be_is_named_and_nothing_of_it_is_kept(tmp_path, monkeypatch, files):
    npm(files, monkeypatch)
    with pytest.raises(OSError, match=r"emojione@.*: it holds no icons"):
        collecting.collect(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "npm error 404 Not Found")
    monkeypatch.setattr(collecting.subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(OSError, match=r"emojione@.*npm error 404"):
        collecting.collect(tmp_path)

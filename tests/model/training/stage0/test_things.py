"""Things for the eye alone: its encoder learns to name patches, and the rest of the checkpoint stays."""

import json
from random import Random

import pytest
import torch

from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.sources import CheckpointError
from model.config import named_geometry
from model.data.mixture import things_varied
from model.data.things.labels import NOTHING
from model.training.stage0 import things as stage
from model.training.stage0.loop import LearningSchedule
from model.training.stage0.things import LabelledThings, ThingEye, teach_things
from tests.support.thing_pictures import thing_pictures

PLAN = LearningSchedule(2, 1e-2, warm_up=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return thing_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(stage, "_SCENES", 2)
    monkeypatch.setattr(stage, "_HELD", 1)


@pytest.fixture
def taught(pictures, few, tmp_path):
    return teach_things("random:pheye-micro", pictures, PLAN, tmp_path, workers=0, compiled=False)


def test_the_encoder_alone_is_taught(taught):
    before, after = open_checkpoint("random:pheye-micro"), open_checkpoint(str(taught))
    changed = {name for name in before.tensors if not torch.equal(before.tensors[name].float(), after.tensors[name])}
    assert changed
    assert all(name.startswith("vision_encoder.") for name in changed)
    assert not any("connector" in name for name in changed)
    assert json.loads((taught / "training.json").read_text())["stage"] == "things"


def test_a_folder_with_a_model_is_left_alone(taught, pictures):
    with pytest.raises(CheckpointError, match="exists already"):
        teach_things("random:pheye-micro", pictures, PLAN, taught.parent, workers=0, compiled=False)


def test_tiles_are_the_global_view_and_a_local_one_with_labels_where_things_stand(pictures):
    source = things_varied(pictures)
    classes = {name: number for number, name in enumerate(source.things.names, start=1)}
    scenes = LabelledThings(source, classes, 96, 8, 3)
    for index in range(6):
        item = scenes[index]
        assert item["tiles"].shape == (2, 96, 96, 3)
        assert item["names"].shape == (2, 12, 12)
        scene, _ = source.scene(Random(f"{source.seed} {index}"), crowded=index % 4 > 0)
        there = set(item["names"][0].flatten().tolist()) - {NOTHING, -1}
        assert there <= {classes[thing.name] for thing in scene.things}
        assert there
        assert torch.equal(item["tiles"], scenes[index]["tiles"])


def test_the_loss_falls_and_what_was_seen_before_is_held(pictures, few):
    config = named_geometry("pheye-micro")
    tensors = open_checkpoint("random:pheye-micro").tensors
    eye = ThingEye(config, tensors, classes=6, compiled=False)
    source = things_varied(pictures)
    classes = {name: number for number, name in enumerate(source.things.names, start=1)}
    vision = config.vision
    item = LabelledThings(source, classes, vision.tile_px, vision.patch_px, config.level)[1]
    batch = {name: tensor[None] for name, tensor in item.items()}
    first, numbers = eye.loss(batch, {"tiles": batch["tiles"]})
    assert numbers["moved"] == pytest.approx(0, abs=1e-6)
    optimizer = torch.optim.AdamW(eye.parameters.values(), 1e-2)
    for _ in range(20):
        loss, numbers = eye.loss(batch, {"tiles": batch["tiles"]})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.75 * first.item()
    assert numbers["moved"] > 0

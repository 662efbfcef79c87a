"""Stage 0: the parts are taught, a killed lesson goes on, and what comes out can be opened and trained."""

import errno
import json
from dataclasses import replace

import pytest
import torch

from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.sources import CheckpointError
from model.config import named_geometry
from model.layout import is_trained
from model.training.stage0 import loop
from model.training.stage0.loop import LearningSchedule, learn, saved_step
from model.training.stage0.parts import Stage0Schedule, make_parts
from model.training.stage0.text import train_tokenizer
from model.training.stage0.vision import LabelledTiles, PatchLabeller, accuracies, labelling_loss, train_eye
from tests.support.full_disks import no_file_above

TINY = named_geometry("pheye-micro")
SHORT = Stage0Schedule(
    LearningSchedule(3, 1e-3, warm_up=1), LearningSchedule(2, 1e-3, warm_up=1), tokenizer_scenes=200, compiled=False
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return make_parts(folder, SHORT, "pheye-micro")


def test_the_parts_are_a_checkpoint_that_can_be_opened(parts):
    checkpoint = open_checkpoint(str(parts))
    assert checkpoint.tokenizer.decode(checkpoint.tokenizer.encode("a red circle")) == "a red circle"
    record = json.loads((parts / "training.json").read_text())
    assert record["stage"] == 0
    assert record["lessons"]["eye"]["steps"] == 3


def test_what_pheye_trains_starts_anew(parts):
    tensors = open_checkpoint(str(parts)).tensors
    ups = [tensor for name, tensor in tensors.items() if ".lora_B." in name]
    outs = [tensor for name, tensor in tensors.items() if is_trained(name) and ".to_out.weight" in name]
    assert ups
    assert all(not tensor.any() for tensor in ups)
    assert all(0 < tensor.abs().max() < 0.01 for tensor in outs)


def test_a_folder_with_a_model_is_left_alone(parts):
    with pytest.raises(CheckpointError, match="exists already"):
        make_parts(parts.parent, SHORT, "pheye-micro")


def test_a_killed_lesson_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    plan = LearningSchedule(4, 1e-3, warm_up=1, keep_every=2)
    straight = train_eye(TINY, plan, tmp_path / "straight", scenes=2, workers=0, compiled=False)

    save = loop._save

    def save_and_die(*given):
        save(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train_eye(TINY, plan, tmp_path / "killed", scenes=2, workers=0, compiled=False)
    assert saved_step(tmp_path / "killed") == 2
    resumed = train_eye(TINY, plan, tmp_path / "killed", scenes=2, workers=0, compiled=False)
    for name in straight:
        assert torch.equal(straight[name], resumed[name]), name


def test_a_full_disk_is_called_so_with_the_file_and_the_last_save_stays(tmp_path):
    def step(_):
        return weight.square().sum(), {}

    weight = torch.zeros(300, 300, requires_grad=True)
    learn({"weight": weight}, step, LearningSchedule(1, 1e-3), tmp_path)
    with no_file_above(200 << 10), pytest.raises(OSError, match=r"state\.pt") as failed:
        learn({"weight": weight}, step, LearningSchedule(2, 1e-3), tmp_path)
    assert failed.value.errno == errno.EFBIG
    assert saved_step(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.pt"]


def test_the_eye_learns_a_few_scenes_by_heart(tmp_path):
    data = LabelledTiles("by heart", TINY.vision.tile_px, TINY.vision.patch_px, TINY.level)
    batch = torch.utils.data.default_collate([data[index] for index in range(2)])
    eye = PatchLabeller(TINY)
    start = float(labelling_loss(eye(batch["tiles"].flatten(0, 1)), batch).detach())

    def step(number):
        return labelling_loss(eye(batch["tiles"].flatten(0, 1)), batch), {}

    learn(eye.parameters, step, LearningSchedule(60, 2e-3, warm_up=5, keep_every=1000), tmp_path)
    outputs = eye(batch["tiles"].flatten(0, 1))
    assert float(labelling_loss(outputs, batch).detach()) < 0.4 * start
    assert accuracies(outputs, batch)[2] > 0.9


def test_the_rate_rises_and_falls():
    plan = replace(LearningSchedule(100, 1.0), warm_up=10)
    rates = [plan.rate_at(step) for step in range(100)]
    assert max(rates) == rates[10] == pytest.approx(1.0, abs=0.02)
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02


def test_the_letters_of_a_sign_are_tokens_of_their_own():
    tokenizer = train_tokenizer(400, scenes=300)
    ids = tokenizer.encode('A sign that reads "STOP77".')
    pieces = [tokenizer.decode([token]) for token in ids]
    assert [piece for piece in pieces if piece in "STOP7"] == ["S", "T", "O", "P", "7", "7"]

"""Checkpoints of a run: whole or not there, the last two, nothing unpickled."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from model import whole_files
from model.training.artifacts.snapshot import (
    Snapshot,
    SnapshotError,
    TrainingPosition,
    check_fits,
    latest_snapshot,
    save_snapshot,
)
from tests.support.full_disks import no_file_above


def taken(done: int) -> Snapshot:
    place = TrainingPosition(stage=0, step=done, done=done, recipe={"batch": 4})
    return Snapshot(place, {"a.b": torch.full((2, 3), float(done))}, {"state": {0: {"step": torch.tensor(done)}}})


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert latest_snapshot(tmp_path / "nothing") is None


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save_snapshot(tmp_path, taken(7))
    found = latest_snapshot(tmp_path)
    assert found is not None
    assert found.place == taken(7).place
    assert torch.equal(found.tensors["a.b"], taken(7).tensors["a.b"])
    assert found.optimizer["state"][0]["step"] == 7


def test_the_last_two_are_kept_and_the_furthest_is_found(tmp_path: Path) -> None:
    for done in (9, 10, 100):
        save_snapshot(tmp_path, taken(done))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000010", "000000100"]
    found = latest_snapshot(tmp_path)
    assert found is not None
    assert found.place.done == 100


def test_one_that_a_kill_cut_off_is_never_seen_and_later_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_snapshot(tmp_path, taken(1))
    (tmp_path / ".partial-000000000").mkdir()  # what a SIGKILL leaves
    with monkeypatch.context() as patched:
        patched.setattr(whole_files, "bring_to_disk", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save_snapshot(tmp_path, taken(2))
    found = latest_snapshot(tmp_path)
    assert found is not None
    assert found.place.done == 1
    save_snapshot(tmp_path, taken(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000001", "000000003"]


def test_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = save_snapshot(tmp_path, taken(1))
    (path / "trained.safetensors").write_bytes(b"torn")
    with pytest.raises(SnapshotError, match="000000001: not a checkpoint that can be continued"):
        latest_snapshot(tmp_path)


def test_a_full_disk_is_called_so_with_the_checkpoint(tmp_path: Path) -> None:
    big = Snapshot(taken(1).place, {}, {"state": {0: {"exp_avg": torch.zeros(1 << 20)}}})
    with no_file_above(300 << 10), pytest.raises(OSError, match="000000001") as failed:
        save_snapshot(tmp_path, big)
    assert failed.value.errno == errno.EFBIG


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("place.json", b'{"stage": -7, "step": 1, "done": 1, "recipe": {}}', "stage: -7 is not a number"),
        ("place.json", b'{"stage": 0, "step": 1, "done": "x", "recipe": {}}', "done: 'x' is not a number"),
        ("place.json", b'{"stage": 0, "step": 1, "done": 1, "recipe": 5}', "recipe: 5 is not an object"),
        ("place.json", b"[]", "expected an object"),
        ("place.json", b"[" * 5000, "recursion"),
        ("optimizer.pt", b"", "not a checkpoint"),
        ("optimizer.pt", b"torn", "not a checkpoint"),
    ],
)
def test_a_part_that_is_not_as_it_should_be_is_told(tmp_path: Path, file: str, content: bytes, what: str) -> None:
    (save_snapshot(tmp_path, taken(1)) / file).write_bytes(content)
    with pytest.raises(SnapshotError, match=rf"000000001: .*{what}.*delete this folder"):
        latest_snapshot(tmp_path)


@pytest.mark.parametrize(("steps", "shape"), [([0, 9], (2, 3)), ([6], (2, 3)), ([9], (3, 3))])
def test_a_checkpoint_of_no_place_in_the_run_is_refused(
    tmp_path: Path, steps: list[int], shape: tuple[int, ...]
) -> None:
    check_fits(tmp_path, taken(7), [9], {"a.b": torch.zeros(2, 3)})
    with pytest.raises(SnapshotError, match="000000007: not a checkpoint that can be continued"):
        check_fits(tmp_path, taken(7), steps, {"a.b": torch.zeros(shape)})

"""Files and folders that appear whole or not at all, on disks that are full or cannot be written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.whole_files import appearing_whole, file_appearing_whole, naming, write_whole
from tests.support.full_disks import no_file_above

TENSORS = {"a": torch.zeros(50_000)}


def test_a_file_replaces_the_one_before(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "one")
    write_whole(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "one")
    with no_file_above(1000), pytest.raises(OSError, match=f"'{tmp_path / 'a'}'") as failed:
        write_whole(tmp_path / "a", "two" * 1000)
    assert failed.value.errno == errno.EFBIG
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_named_by_the_file_it_is_about() -> None:
    with pytest.raises(OSError, match="No space left on device: '/data/a'"), naming(Path("/data/a")):
        Path("/dev/full").write_text("a" * 100_000)


@pytest.mark.parametrize("writer", ["text", "safetensors", "torch"])
def test_a_folder_that_does_not_fit_is_not_there(tmp_path: Path, writer: str) -> None:
    def fill(folder: Path) -> None:
        if writer == "text":
            (folder / "b").write_text("b" * 200_000)
        elif writer == "safetensors":
            save_file(TENSORS, folder / "b")
        else:
            torch.save(TENSORS, folder / "b")

    with appearing_whole(tmp_path / "whole") as partial:
        fill(partial)
        assert not (tmp_path / "whole").exists()

    def fail() -> None:
        with appearing_whole(tmp_path / "full") as partial:
            (partial / "a").write_text("a")
            fill(partial)

    with no_file_above(50_000), pytest.raises(OSError, match=f"'{tmp_path / 'full'}'") as failed:
        fail()
    assert failed.value.errno in (errno.EFBIG, errno.EIO)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_what_a_kill_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".partial-a").mkdir()
    (tmp_path / ".partial-a" / "old").write_text("old")
    with appearing_whole(tmp_path / "a") as partial:
        (partial / "new").write_text("new")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new"]


def test_a_folder_that_is_replaced_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with appearing_whole(tmp_path / "a", replacing=True) as partial:
            (partial / content).write_text(content)
            assert content == "first" or (tmp_path / "a" / "first").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_could_not_be_replaced_is_there_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "first").touch()
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == ".partial-a":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"), appearing_whole(tmp_path / "a", replacing=True):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "first"]


def test_an_error_of_another_kind_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), appearing_whole(tmp_path / "a"):
        raise ValueError("mine")
    with pytest.raises(KeyboardInterrupt), file_appearing_whole(tmp_path / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match="'/proc/nothing'"), appearing_whole(Path("/proc/nothing")):
        pass
    with pytest.raises(OSError, match="'/proc/nothing'"):
        write_whole(Path("/proc/nothing"), "a")

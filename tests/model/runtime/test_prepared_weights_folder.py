"""The folder of prepared weights: what may be wrong with it, who shares it, and what is removed from it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from model.runtime import prepared_weights
from model.runtime.prepared_weights import PreparedWeights
from tests.support.prepared_sets import forbidden, kept, set_in, some


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept(tmp_path)
        assert not list(tmp_path.glob("*/*"))
    late = PreparedWeights(tmp_path, "a model", "int8")
    kept(tmp_path)
    mark = set_in(tmp_path) / "mark"
    mark.touch()
    late("one", lambda: some(1.0, 2.0))
    writing = late.keep()
    assert writing is not None
    writing.join()
    assert mark.exists()  # what another has written meanwhile is not written again


@pytest.mark.parametrize("full", [True, False], ids=["a full disk", "a file in its place"])
def test_a_folder_that_cannot_be_written_to_is_a_warning(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    if full:
        monkeypatch.setattr(prepared_weights.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    else:
        folder.write_text("")
    with caplog.at_level(logging.WARNING):
        kept(folder)
    assert "prepared weights are not kept" in caplog.text
    assert full or f"{folder} is no folder" in caplog.text
    assert not list(folder.glob("*/*"))


@pytest.mark.parametrize("denied", [True, False], ids=["no right to look", "a name too long"])
def test_a_folder_that_cannot_be_looked_into_is_a_warning(
    denied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / ("folder" if denied else "x" * 300)
    if denied:  # the tests may run as root, whom nothing is denied
        look = os.stat
        monkeypatch.setattr(os, "stat", lambda path, **how: refuse() if "folder" in str(path) else look(path, **how))
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: refuse())
    assert not PreparedWeights.has_seen(folder, "a model")
    with caplog.at_level(logging.WARNING):
        assert kept(folder)("one", lambda: some(3.0))[0].tolist() == [3.0]
    assert "prepared weights are not kept" in caplog.text


def refuse() -> NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_set_that_may_only_be_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path)
    monkeypatch.setattr(os, "utime", lambda _: refuse())
    with caplog.at_level(logging.WARNING):
        prepared = PreparedWeights(tmp_path, "a model", "int8")
    assert prepared("one", forbidden)[0].tolist() == [1.0, 2.0]
    assert not caplog.text


def test_the_sets_used_last_stay_and_nothing_unfinished_does(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        kept(tmp_path, name)
        for place in tmp_path.glob("*/"):
            if place.stat().st_mtime > 3:
                os.utime(place, (number, number))
    unfinished = tmp_path / f".partial-{'0' * 24}-int8-{'0' * 16}"
    unfinished.mkdir()
    PreparedWeights(tmp_path, "a", "int8")  # uses it
    kept(tmp_path, "d")
    assert [PreparedWeights.has_seen(tmp_path, name) for name in "abcd"] == [True, False, True, True]
    assert not unfinished.exists()


def test_other_things_in_the_folder_stay(tmp_path: Path) -> None:
    others = [tmp_path / f"run{number}" / "tensors.json" for number in range(5)]
    others.append(tmp_path / ".partial-run" / "checkpoint")
    for other in others:
        other.parent.mkdir()
        other.write_text("mine")
    kept(tmp_path)
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("left", ["of a killed writer", "of an older version", "damaged"])
def test_a_set_fits_where_what_is_left_of_others_takes_the_room(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path)
    place = set_in(tmp_path)
    names = {
        "of a killed writer": f".partial-{place.name}",
        "of an older version": place.name[:-16] + "0" * 16,
        "damaged": place.name,
    }
    place.rename(tmp_path / names[left])
    if left == "damaged":
        (place / "weights.npy").unlink()

    def usage(_: object) -> SimpleNamespace:
        return SimpleNamespace(free=10 if any(tmp_path.glob("*int8*")) else 1000)

    monkeypatch.setattr(prepared_weights.shutil, "disk_usage", usage)
    kept(tmp_path)
    assert list(tmp_path.glob("*int8*")) == [place]
    PreparedWeights(tmp_path, "a model", "int8")("one", forbidden)


def test_sets_of_other_models_stay_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path)
    monkeypatch.setattr(prepared_weights.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with caplog.at_level(logging.WARNING):
        kept(tmp_path, "another")
    assert PreparedWeights.has_seen(tmp_path, "a model")
    assert "0.0 MB are needed and 0.0 MB are free" in caplog.text


@pytest.mark.parametrize("odd", ["a file", "a link to nothing", "a link to a folder"])
def test_whatever_is_in_the_place_of_a_set_is_replaced(odd: str, tmp_path: Path) -> None:
    kept(tmp_path)
    place = set_in(tmp_path)
    elsewhere = place.rename(tmp_path / "elsewhere")
    (elsewhere / "weights.npy").unlink()
    if odd == "a file":
        place.write_text("")
        place.with_name(f".partial-{place.name}").write_text("")
    else:
        place.symlink_to(elsewhere if odd == "a link to a folder" else tmp_path / "nothing")
    kept(tmp_path)
    PreparedWeights(tmp_path, "a model", "int8")("one", forbidden)
    assert not place.is_symlink()
    assert elsewhere.exists()


def test_a_lock_that_is_a_link_empties_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "precious").write_text("still there")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with caplog.at_level(logging.WARNING):
        kept(tmp_path)
    assert (tmp_path / "precious").read_text() == "still there"
    assert "prepared weights are not kept" in caplog.text

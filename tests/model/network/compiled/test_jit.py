"""What becomes of compiled code where it is kept: found again, and never needed."""

from __future__ import annotations

import errno
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("numba")

from numba.core.caching import IndexDataCacheFile

from model.network.compiled.compilation import jit
from model.network.compiled.compilation.jit import EntryPoint


def doubled(number):
    return 2 * number


def another() -> EntryPoint:
    return EntryPoint(doubled, "(int64,)")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    return tmp_path


def test_what_was_kept_is_loaded(folder, caplog):
    jit._tell_of_compiling.cache_clear()
    caplog.set_level("INFO", "pheye.kernels")
    assert another()(21) == 42
    assert caplog.text.count("compiling for this processor") == 1
    jit._tell_of_compiling.cache_clear()
    assert list(folder.rglob("*.nbc"))
    again = another()
    assert again(21) == 42
    assert caplog.text.count("compiling for this processor") == 1, "the second one was loaded"
    assert sum(again.ready.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_a_damaged_file_is_said_and_costs_only_time(folder, kind, damage, caplog):
    another()(21)
    (file,) = folder.rglob(f"*.{kind}")
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "other": pickle.dumps(7)}[damage])
    assert another()(21) == 42
    if (kind, damage) != ("nbi", "other"):  # numba takes that one for an older version's
        assert f"cannot be kept in {folder}" in caplog.text


def test_a_full_disk_is_said_and_what_was_compiled_is_used(folder, monkeypatch, caplog):
    def save(self, key, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(IndexDataCacheFile, "save", save)
    assert another()(21) == 42
    assert "No space left" in caplog.text


def test_a_folder_that_cannot_be_written_is_not_needed(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path / "file")
    assert another()(21) == 42


def test_no_thread_compiles_once_it_is_ready(monkeypatch):
    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    entry = another()
    ready = entry.ready
    found = []
    thread = threading.Thread(target=lambda: found.append(ready(21)))
    thread.start()
    thread.join()
    assert found == [42]
    with pytest.raises(TypeError):
        ready("text")


def test_two_threads_that_ask_at_once_get_what_one_of_them_has_compiled(monkeypatch):
    entry, made, both = another(), [], threading.Barrier(2)

    def compiled(self):
        made.append(object())
        time.sleep(0.05)  # for the other to come in, were it let
        return made[-1]

    monkeypatch.setattr(EntryPoint, "_compiled", compiled)

    def ask():
        both.wait()
        return entry.ready

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(ask) for _ in range(2)]
    assert [each.result() for each in found] == made * 2
    assert len(made) == 1


def test_loading_compiles_nothing(folder):
    entry = another()
    assert not entry.load()
    assert not list(folder.rglob("*.nb?"))
    another()(21)
    assert entry.load()
    assert entry(21) == 42
    assert sum(entry.ready.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_what_is_damaged_is_not_loaded_and_can_be_discarded(folder, kind, caplog):
    another()(21)
    (file,) = folder.rglob(f"*.{kind}")
    file.write_bytes(file.read_bytes()[:20])
    assert not another().load()
    another().discard()
    another()(21)
    assert another().load()
    assert not caplog.records


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def find() -> Path | None:
    return jit.cache_folder.__wrapped__()


def test_the_folder_is_its_owners_alone_whatever_new_folders_are(base):
    before = os.umask(0)
    try:
        folder = find()
    finally:
        os.umask(before)
    assert folder is not None
    assert folder.parent == base / "pheye" / "kernels"
    for each in (folder, folder.parent, folder.parent.parent):
        assert each.stat().st_mode & 0o777 == 0o700
    assert find() == folder


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o707], ids=oct)
@pytest.mark.parametrize("level", range(3))
def test_nothing_is_loaded_from_where_others_may_write(base, level, mode, caplog):
    folder = find()
    [folder, *folder.parents][level].chmod(mode)
    assert find() is None
    assert "others may write" in caplog.text


def test_nothing_is_loaded_from_a_folder_of_another_user(base, monkeypatch):
    assert find() is not None
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert find() is None


def test_nothing_is_loaded_through_a_link(base, tmp_path):
    base.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (base / "pheye").symlink_to(tmp_path / "elsewhere")
    assert find() is None


def test_another_processor_has_a_folder_of_its_own(base, monkeypatch):
    own = find()
    monkeypatch.setattr(jit.llvm, "get_host_cpu_name", lambda: "another")
    assert find() not in (None, own)

"""Compiled code that is got ready in the background: by real processes, into folders of their own."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytest.importorskip("numba")

from model.network.compiled.compilation import available, background, jit
from model.network.compiled.compilation.background import CompiledCode
from tests.model.network.compiled import tiny_entry

TINY = tiny_entry.__name__
LONG_S = 300.0  # for what takes seconds
SERVER = f"""
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
from model.network.compiled.compilation.background import CompiledCode
code = CompiledCode([{TINY!r}])
code.start(niceness=0)
if code.wait({LONG_S}):
    from {TINY} import tripled
    print("it is", tripled(14))
"""
COMPILING, IN_USE = "compiling for this processor in the background", "in use from now on"


def server(cache: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a process that gets the small entry point ready, and prints its log and what that returns."""
    return subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == 0, told
    return told


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # nobody may be there to ask how it ended
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def cache(tmp_path, monkeypatch, caplog) -> Path:
    """Folder of compiled code, for this process and those that it starts; nothing is loaded yet."""
    caplog.set_level("DEBUG", "pheye.kernels")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit, "cache_folder", jit.cache_folder.__wrapped__)
    monkeypatch.setattr(tiny_entry.tripled, "_ready", None)
    return tmp_path


def test_importing_it_imports_no_numba():
    script = "import sys, model.network.compiled.compilation.background; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_two_at_once_compile_once_and_a_third_loads(tmp_path):
    first, second = server(tmp_path), server(tmp_path)
    told = said(first), said(second)
    assert sum(COMPILING in each for each in told) == 1, told
    told = (*told, said(server(tmp_path)))
    assert COMPILING not in told[2]
    for each in told:
        assert IN_USE in each
        assert "it is 42" in each


def test_a_process_of_no_importance_compiles_and_inherits_nothing(cache, monkeypatch):
    monkeypatch.setenv("HAPPENS", f"hangs:{cache / 'pid'}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        code = CompiledCode([TINY])
        code.start()
        wait_until((cache / "pid").exists)
        child = psutil.Process(int((cache / "pid").read_text()))
        try:
            assert child.nice() == min(19, psutil.Process().nice() + 10)
            assert os.getpgid(child.pid) != os.getpgid(0)
            assert os.getsid(child.pid) == os.getsid(0)
            if sys.platform == "linux":
                assert not child.net_connections()
                assert [os.readlink(f"/proc/{child.pid}/fd/{number}") for number in (0, 1)] == [os.devnull] * 2
        finally:
            child.kill()
        assert not code.wait(LONG_S)


def test_a_killed_server_leaves_no_process_behind(tmp_path):
    parent = server(tmp_path, HAPPENS=f"hangs:{tmp_path / 'pid'}")
    wait_until((tmp_path / "pid").exists)
    child = int((tmp_path / "pid").read_text())
    assert runs(child)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not runs(child))


def test_it_ends_without_its_parent_where_no_system_tells_of_that(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "HAPPENS": f"hangs:{tmp_path / 'pid'}"}
    command = [
        sys.executable,
        "-m",
        "model.network.compiled.compilation.build",
        "--parent",
        "0",
        "--niceness",
        "0",
        TINY,
    ]
    assert subprocess.run(command, env=environment, timeout=LONG_S, check=False).returncode == 1


def test_one_that_is_killed_is_said_and_leaves_the_steps_to_torch(cache, monkeypatch, caplog):
    monkeypatch.setenv("HAPPENS", f"hangs:{cache / 'pid'}")
    code = CompiledCode([TINY])
    code.start(niceness=0)
    wait_until((cache / "pid").exists)
    assert not code.wait(0.0)
    os.kill(int((cache / "pid").read_text()), signal.SIGKILL)
    assert not code.wait(LONG_S)
    monkeypatch.delenv("HAPPENS")
    code.start(niceness=0)  # for good
    assert not code.wait(LONG_S)
    assert caplog.text.count("was ended by signal 9") == 1
    assert IN_USE not in caplog.text


def test_one_that_fails_is_said_with_its_last_words(cache, monkeypatch, caplog):
    monkeypatch.setenv("HAPPENS", "fails")
    code = CompiledCode([TINY])
    code.start(niceness=0)
    assert not code.wait(LONG_S)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "ended with exit code 1" in warning.getMessage()
    assert "something went wrong" in warning.getMessage()


def test_what_has_just_failed_is_not_tried_again(cache, caplog):
    folder = jit.cache_folder()
    (folder / background._FAILED).touch()
    code = CompiledCode([TINY])
    code.start(niceness=0)
    assert not code.wait(LONG_S)
    assert "has just failed" in caplog.text
    os.utime(folder / background._FAILED, (0, 0))
    again = CompiledCode([TINY])
    again.start(niceness=0)
    assert again.wait(LONG_S)


def test_too_little_memory_is_said(cache, monkeypatch, caplog):
    monkeypatch.setattr(background, "_LEAST_MB", 1 << 60)
    code = CompiledCode([TINY])
    code.start(niceness=0)
    assert not code.wait(LONG_S)
    assert "compiling takes half a gigabyte" in caplog.text


@pytest.mark.parametrize("damage", ["index", "code", "no code"])
def test_damaged_and_missing_files_cost_only_time(cache, damage, monkeypatch, caplog):
    for times in (1, 2):
        monkeypatch.setattr(tiny_entry.tripled, "_ready", None)
        code = CompiledCode([TINY])
        code.start(niceness=0)
        assert code.wait(LONG_S), caplog.text
        assert caplog.text.count(COMPILING) == times
        assert tiny_entry.tripled(14) == 42
        (file,) = cache.rglob("*.nbi" if damage == "index" else "*.nbc")
        if damage == "no code":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:20])
    assert "WARNING" not in caplog.text


def test_without_a_folder_torch_goes_on_which_is_said_once(cache, monkeypatch, caplog):
    (cache / "file").touch()
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", str(cache / "file"))
    code = CompiledCode([TINY])
    for _ in range(2):
        code.start(niceness=0)
        assert not code.wait(LONG_S)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "no folder to keep compiled code in" in record.getMessage()


def test_without_numba_nothing_happens(monkeypatch, caplog):
    monkeypatch.setattr(available, "installed", lambda: False)
    code = CompiledCode([TINY])
    before = threading.active_count()
    code.start(niceness=0)
    assert threading.active_count() == before
    assert not code.wait()
    assert not caplog.records


def test_a_numba_that_cannot_be_imported_is_none(monkeypatch, caplog):
    def entry_points(modules):
        raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 3.0.")

    monkeypatch.setattr(jit, "entry_points", entry_points)
    code = CompiledCode([TINY])
    code.start(niceness=0)
    assert not code.wait(LONG_S)
    assert not [record for record in caplog.records if record.levelno > 10]


def test_whatever_else_goes_wrong_leaves_the_steps_to_torch(cache, monkeypatch, caplog):
    def run(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(background.subprocess, "run", run)
    code = CompiledCode([TINY])
    code.start(niceness=0)
    assert not code.wait(LONG_S)
    assert "torch computes all (PermissionError: [Errno 13] Permission denied)" in caplog.text


def test_others_run_in_short_turns_while_it_imports_and_as_before_afterwards(cache, monkeypatch):
    before, seen = sys.getswitchinterval(), []

    def entry_points(modules):
        seen.append(sys.getswitchinterval())
        raise ImportError

    monkeypatch.setattr(jit, "entry_points", entry_points)
    code = CompiledCode([TINY])
    code.start(niceness=0)
    assert not code.wait(LONG_S)
    assert seen[0] < before == sys.getswitchinterval()


def test_a_process_forked_meanwhile_does_not_keep_the_lock(tmp_path):
    with background._alone(tmp_path) as lock:
        inherited = os.dup(lock)
    with (tmp_path / background._LOCK).open() as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(inherited)


def test_what_was_not_started_is_not_waited_for():
    assert not CompiledCode([TINY]).wait()


def test_every_entry_point_is_found():
    found = {f"{entry.module.rpartition('.')[2]}.{entry._function.__name__}" for entry in jit.entry_points()}
    assert found >= {"products.layer", "step.step", "rounding.pack", "rounding.pack_bytes"}


def test_compilation_stands_back_unless_somebody_waits_for_it(cache, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command[command.index("--niceness") + 1])
        return subprocess.CompletedProcess(command, 1, stderr="")

    monkeypatch.setattr(background.subprocess, "run", run)
    monkeypatch.setattr(background, "_RETRY_S", 0)
    for niceness in ({}, {"niceness": 0}):
        code = CompiledCode([TINY])
        code.start(**niceness)
        assert not code.wait(LONG_S)
    assert asked == ["10", "0"]

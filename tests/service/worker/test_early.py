"""The process that imports before anybody knows what it will do."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.configuration.settings import Settings
from service.dispatch.workers.worker_handle import _begun_early
from service.worker import early


@pytest.fixture(autouse=True)
def _no_other() -> Iterator[None]:
    early._begun.clear()
    yield
    while (begun := early.take()) is not None:
        begun.process.kill()


def tell_what_is_imported(names: list[str], pipe: Connection) -> None:
    pipe.send([name for name in names if name in sys.modules])


def test_it_has_imported_what_a_worker_needs_before_it_is_told_what_to_do() -> None:
    early.begin()
    begun = early.take()
    assert begun is not None
    assert early.take() is None, "it can be had once"
    begun.pipe.send((tell_what_is_imported, ["torch", "model.runtime.runner", "service.worker.main"]))
    assert begun.pipe.poll(60)
    assert begun.pipe.recv() == ["torch", "model.runtime.runner", "service.worker.main"]
    begun.process.join(20)
    assert begun.process.exitcode == 0


def test_what_it_imports_has_no_use_for_what_checks_settings() -> None:
    code = (
        "import model.runtime.load, service.worker.main, service.worker.settings, sys\n"
        "print(*{'pydantic', 'service.configuration.settings', 'limits', 'fastapi'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_it_ends_with_whoever_began_it() -> None:
    early.begin()
    begun = early.take()
    assert begun is not None
    begun.pipe.close()
    begun.process.join(60)
    assert begun.process.exitcode == 0


def test_ctrl_c_in_a_terminal_means_nothing_to_it_from_its_first_instruction() -> None:
    before = signal.getsignal(signal.SIGINT)
    early.begin()
    begun = early.take()
    assert begun is not None
    status = Path(f"/proc/{begun.process.pid}/status").read_text(encoding="ascii")
    begun.process.kill()
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    assert int(ignored, 16) >> (signal.SIGINT - 1) & 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_machine_without_room_for_it_starts_its_workers_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: object) -> None:
        raise OSError("no process left")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", start)
    early.begin()
    assert early.take() is None


def test_one_that_has_died_makes_way_for_a_worker_started_as_all_others_are() -> None:
    early.begin()
    (begun,) = early._begun
    begun.process.kill()
    begun.process.join(20)
    assert _begun_early(Settings(), "cpu") is None
    assert early.take() is None

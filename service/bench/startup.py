"""Time from the command `pheye serve` until it answers `/livez`, and until it is ready, start after start.

Each start is a new process of this Python on a free port, ended as soon as it is ready. Weights may be dropped from the
page cache first, as after the machine's own start. Main thread only.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from model.bench.machine import resident_peak_bytes
from model.checkpoint.sources import WEIGHT_FILES, local_folder

START_S = 600.0  # most that a start may take
POLL_S = 0.02
STOP_S = 10.0
_LEFT_OUT = ("PHEYE_TLS_", "PHEYE_HOST", "PHEYE_LOG_")  # it is asked plainly, here, and its log says where
_SERVE = "import sys; sys.argv[0] = 'pheye'; from service.cli.entry import main; main()"
_LISTENING = re.compile(r"listening on http://\S+:(\d+);")
_LOADED = re.compile(r"is ready after ([\d.]+) s")


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Times of one start, in seconds from the command, and the memory of its largest process.

    Attributes:
        alive_s: until `/livez` answered 200.
        ready_s: until `/readyz` did.
        load_s: for which the worker that was ready first loaded and warmed up its model, to a tenth.
        peak_bytes: most that one process had in memory, the mapped files included.
    """

    alive_s: float
    ready_s: float
    load_s: float
    peak_bytes: int


def start_times(words: Sequence[str], model: str, prepared: Path | None, *, cold: bool) -> StartTimes:
    """Start a server once, and end it.

    Args:
        words: flags of `pheye serve`, but for the port.
        model: as they name it.
        prepared: the folder of prepared weights; None for none.
        cold: whether its weights, in either form, are dropped from the page cache first; its own must lie in a folder
            here.

    Raises:
        RuntimeError: the server ended, or was not ready in time; the message has what it logged.
        ValueError: there are no weights here to drop.
    """
    if cold:
        _drop_from_page_cache(model, prepared)
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        begun_s = time.monotonic()
        with _running(words, log) as process:
            alive_s, ready_s = (_await(process, log, path, begun_s) for path in ("/livez", "/readyz"))
            peak = max(map(resident_peak_bytes, [process.pid, *_children(process.pid)]))
        loaded = _LOADED.search(log.read_text(encoding="utf-8"))
    return StartTimes(alive_s, ready_s, float(loaded[1]) if loaded else 0.0, peak)


def _drop_from_page_cache(model: str, prepared: Path | None) -> None:
    folder = local_folder(model)
    files = [folder / name for name in WEIGHT_FILES if (folder / name).exists()] if folder is not None else []
    if not files:
        raise ValueError(f"{model}: no weights in a folder here, which could be dropped from the page cache")
    for file in [*files, *(prepared.glob("*/*") if prepared else ())]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())  # what is not written yet stays
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _running(words: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-c", _SERVE, "serve", *words, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)},
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(process: subprocess.Popen[bytes], log: Path, path: str, begun_s: float) -> float:
    """Wait until a route answers 200, and return when, in seconds from the start."""
    while not _answers(log, path):
        past_s = time.monotonic() - begun_s
        if process.poll() is not None or past_s > START_S:
            raise RuntimeError(f"{path} did not answer within {past_s:.0f} s:\n{log.read_text(encoding='utf-8')}")
        time.sleep(POLL_S)
    return time.monotonic() - begun_s


def _answers(log: Path, path: str) -> bool:
    listening = _LISTENING.search(log.read_text(encoding="utf-8"))
    if listening is None:
        return False
    connection = HTTPConnection("127.0.0.1", int(listening[1]), timeout=STOP_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]

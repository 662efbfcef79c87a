"""Processes forked from one that has imported what they need: torch alone takes two seconds each time.

All else is as in the service, where workers are spawned: what a process is given is pickled, and its environment,
folder and output are those of the process that starts it. Where start, end and death are the point, tests start a
server with `warm=False`, or the command itself, and its processes are spawned as the service does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from multiprocessing import forkserver, get_context, popen_forkserver, reduction, spawn, util
from multiprocessing.context import set_spawning_popen
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import Any, ClassVar

from service.dispatch.workers import worker_handle

ADDRESS = "FORK_SERVER_OF_WORKERS"  # the variable by which a server finds the fork server that its tests have started
READ_ONCE = ("HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "OMP_NUM_THREADS")  # by libraries


class WarmForkServer(forkserver.ForkServer):
    """A fork server of its own, beside the one that decoders have."""

    def __init__(self, *imported: str) -> None:
        super().__init__()
        self.set_forkserver_preload(list(imported))

    @property
    def address(self) -> str:
        """Where it listens; it is started first if need be."""
        self.ensure_running()
        return self._forkserver_address

    def ensure_running(self) -> None:
        """Start it unless it runs."""
        options, sys.warnoptions[:] = list(sys.warnoptions), ["error"]  # every warning in a process of it is an error
        try:
            super().ensure_running()
        finally:
            sys.warnoptions[:] = options


class WorkerForkServer(WarmForkServer):
    """The fork server of workers; a server that tests have started uses that of the tests."""

    def ensure_running(self) -> None:
        """Start it unless it runs, here or in the process of the tests."""
        if ADDRESS not in os.environ:
            super().ensure_running()
        elif self._forkserver_address is None:
            self._forkserver_address = os.environ[ADDRESS]
            self._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)  # it lives as long as the tests


WORKERS = WorkerForkServer(
    "service.cli.main",
    "service.worker.main",
    "model.runtime.runner",
    "model.runtime.load",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.clip.configuration_clip",
    "transformers.models.phi.configuration_phi",
)
SERVERS = WarmForkServer("service.api.server")


class WarmPopen(popen_forkserver.Popen):
    """The start of a process by a fork server of ours."""

    def _launch(self, process_obj: WarmProcess) -> None:
        prepared = spawn.get_preparation_data(process_obj.name)
        file = BytesIO()
        set_spawning_popen(self)
        try:
            # Without the main module, of which no process needs anything.
            reduction.dump({key: value for key, value in prepared.items() if not key.startswith("init_main")}, file)
            reduction.dump(process_obj, file)
        finally:
            set_spawning_popen(None)
        self.sentinel, data = process_obj.origin.connect_to_new_process(self._fds)
        self.finalizer = util.Finalize(self, util.close_fds, (os.dup(data), self.sentinel))
        with open(data, "wb") as pipe:
            pipe.write(file.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class WarmProcess(BaseProcess):
    """A worker process, as `multiprocessing.Process` is one."""

    _start_method = "forkserver"
    origin: ClassVar[WarmForkServer] = WORKERS

    def __init__(
        self,
        *,
        target: Callable[..., None],
        args: tuple[Any, ...],
        environment: dict[str, str] | None = None,
        outputs: Sequence[int] = (1, 2),
        **kwargs: Any,
    ) -> None:
        surroundings = _Surroundings(dict(os.environ if environment is None else environment), tuple(outputs))
        super().__init__(target=_run, args=(target, args, surroundings), **kwargs)

    @staticmethod
    def _Popen(process_obj: WarmProcess) -> WarmPopen:
        return WarmPopen(process_obj)


class ServerProcess(WarmProcess):
    """A server's process, with the methods of `subprocess.Popen` that tests call."""

    origin = SERVERS

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended."""
        self.join(timeout)
        if self.exitcode is None:
            raise TimeoutError(f"{self.name} has not ended within {timeout} s")
        return self.exitcode

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.exitcode is None:
            os.kill(self.pid, number)


class CommandProcess(ServerProcess):
    """A process of `pheye`, which may need torch or start a worker."""

    origin = WORKERS


class _Surroundings:
    """What a spawned process inherits from its parent, and a forked one from the fork server."""

    def __init__(self, environment: dict[str, str], outputs: tuple[int, ...]) -> None:
        self.environment, self.outputs, self.folder = environment, outputs, os.getcwd()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"outputs": [reduction.DupFd(descriptor) for descriptor in self.outputs]}

    def take(self) -> None:
        for name in READ_ONCE:
            if os.environ.get(name) != self.environment.get(name):
                raise RuntimeError(f"{name} was read when libraries were imported: start this process with warm=False")
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        for descriptor, output in enumerate(self.outputs, 1):
            inherited = output.detach()
            os.dup2(inherited, descriptor)
            os.close(inherited)


def _run(target: Callable[..., None], args: tuple[Any, ...], surroundings: _Surroundings) -> None:
    surroundings.take()
    target(*args)


def fork_workers() -> None:
    """Let this process fork its workers from the process that has imported torch."""
    context = SimpleNamespace(Pipe=get_context("spawn").Pipe, Process=WarmProcess)
    worker_handle.multiprocessing = SimpleNamespace(get_context={"spawn": context}.__getitem__)

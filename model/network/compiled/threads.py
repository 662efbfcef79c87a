"""Threads that run one compiled function together, and the barrier at which they wait for each other.

Between steps the helpers sleep. Within one they spin, since a phase takes microseconds; one that waits long gives its
core away, because the other may need it. Any thread may give them work.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from model.network.compiled.compilation.jit import compiled
from model.network.compiled.loops.emitter import I32, I64

_SPINS = 4000  # before a waiting thread lets others run
_LINE_WORDS = 8  # int64 of a cache line
_yield_core = types.ExternalFunction("sched_yield", types.int32())


@intrinsic
def _count_up(typing_context, address):
    """Add 1 to a number in memory, seen by all threads in one order; returns what it was."""

    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], I64.as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(I64, 1), "acq_rel")

    return types.int64(types.int64), generate


@intrinsic
def _look(typing_context, address):
    """Read a number that other threads write, and what they wrote before it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], I64.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _pause(typing_context):
    """Tell the processor that this is a loop that waits."""

    def generate(context, builder, signature, arguments):
        if "x86_64" in builder.module.triple:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return ir.Constant(I32, 0)

    return types.int32(), generate


@compiled
def barrier(counter, threads):
    """Wait until all threads are here, or one of them has failed.

    `counter` is the address of a number that only counts up, a multiple of `threads` when they begin, and behind it of
    one that is 0 until one of them has failed.
    """
    if threads == 1:
        return
    there = _count_up(counter) + 1
    goal = (there + threads - 1) // threads * threads
    spins = 0
    while _look(counter) < goal:
        if _look(counter + 8) != 0:
            return
        _pause()
        spins += 1
        if spins > _SPINS:
            _yield_core()


def _nothing(thread: int) -> None:
    """Do no work at all."""


class Crew:
    """Threads of one size that run a compiled function together, which must let go of the interpreter's lock.

    Args:
        size: threads, the caller's included.

    Attributes:
        counter: address for `barrier`, which is a multiple of `size` whenever they begin.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._words = np.zeros(3 * _LINE_WORDS, dtype=np.int64)  # a cache line of its own somewhere within
        self.counter = self._words.ctypes.data + _LINE_WORDS * 8
        self._turn = threading.Lock()
        self._begun = [threading.Semaphore(0) for _ in range(size - 1)]
        self._ended = threading.Semaphore(0)
        self._work: Callable[[int], Any] = _nothing
        self._failures: list[BaseException] = []
        for place in range(size - 1):
            threading.Thread(target=self._help, args=(place,), name=f"decode-{place + 1}", daemon=True).start()

    def run(self, work: Callable[[int], Any]) -> None:
        """Call `work` in every thread with its number, and return when all have returned; one caller after the other.

        Where it fails in some threads, none waits for them at a barrier any more, and what the first raised is raised.
        """
        if self.size == 1:
            work(0)  # without a turn: two threads may compute at once, each by itself
            return
        with self._turn:
            self._words[:] = 0
            self._work = work
            try:
                for begun in self._begun:
                    begun.release()
                self._do(0)
                for _ in self._begun:
                    self._ended.acquire()
                if self._failures:
                    raise self._failures[0]
            finally:
                self._work, self._failures = _nothing, []  # what the work holds goes with it

    def _do(self, thread: int) -> None:
        try:
            self._work(thread)
        except BaseException as failure:
            self._failures.append(failure)
            self._words[_LINE_WORDS + 1] = 1

    def _help(self, place: int) -> None:
        while True:
            self._begun[place].acquire()
            self._do(place + 1)
            self._ended.release()

"""Cores that a process may use, and the threads that a model is worth."""

from __future__ import annotations

import os

import pytest

from model.config import GEOMETRIES
from model.machine.cores import compute_threads, lone_threads, usable_cores


@pytest.mark.parametrize(("quota", "cores"), [(1.5, 1), (4.0, 4), (0.5, 1), (None, 8)])
def test_a_containers_cpu_quota_bounds_the_cores(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr("model.machine.cores.cores_left", lambda: quota)
    assert usable_cores() == cores


def test_a_small_model_gets_one_thread_and_a_large_one_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.machine.cores.usable_cores", lambda: 8)
    threads = {
        (name, workers): compute_threads(GEOMETRIES[name], workers)
        for name in ("pheye-tiny", "Pheye-x4-448")
        for workers in (1, 3, 16)
    }
    assert [threads["pheye-tiny", workers] for workers in (1, 3, 16)] == [1, 1, 1]
    assert [threads["Pheye-x4-448", workers] for workers in (1, 3, 16)] == [8, 2, 1]


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (8, 2)])
def test_an_answer_that_is_alone_gets_a_second_thread_where_there_is_a_core(
    cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.machine.cores.usable_cores", lambda: cores)
    assert lone_threads(GEOMETRIES["pheye-tiny"]) == threads
    assert lone_threads(GEOMETRIES["Pheye-x4-448"]) == 1, "its operations have threads of their own"

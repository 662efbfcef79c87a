"""What `pheye info` says a model takes of this machine is what a server would take here."""

from __future__ import annotations

import pytest

from model.config import named_geometry
from service.cli.info import needs
from service.configuration.settings import Settings
from service.machine import workers
from service.machine.memory import need, parts
from service.machine.models import ModelNeeds
from service.machine.workers import with_workers

TINY = named_geometry("pheye-tiny")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, plenty of memory, no GPU, and no second spent on measuring."""
    monkeypatch.setattr(workers, "usable_cores", lambda: 4)
    monkeypatch.setattr(workers, "available_mb", lambda: 64_000.0)
    monkeypatch.setattr(workers, "_GPUS", ())
    monkeypatch.setattr(needs, "measured", lambda: None)


def of_tiny(settings: Settings, *, others: bool = False) -> list[ModelNeeds]:
    return list(needs.all_needs("pheye-tiny", TINY, settings, others=others))


def test_memory_is_that_of_all_workers_that_auto_stands_for() -> None:
    tiny, *large = of_tiny(Settings(), others=True)
    served = need(parts(TINY, "float32", with_workers(Settings())))
    assert (tiny.workers, tiny.memory_mb, tiny.most_mb) == (4, served.at_start_mb, served.at_most_mb)
    assert {each.workers for each in large} == {1}
    assert [each["workers"] for each in needs.needs_as_json([tiny, *large])] == [4, *(1 for _ in large)]


def test_workers_on_gpus_take_none_of_the_memory() -> None:
    (one,), (mixed,) = of_tiny(Settings(devices="cpu")), of_tiny(Settings(devices="cpu,cuda:0"))
    assert (mixed.workers, mixed.memory_mb, mixed.most_mb) == (1, one.memory_mb, one.most_mb)


def test_the_number_format_that_is_set_counts() -> None:
    (tiny,) = of_tiny(Settings(dtype="int8", devices="cpu"))
    assert (tiny.dtype, tiny.workers) == ("int8", 1)
    assert tiny.memory_mb == need(parts(TINY, "int8", Settings(devices="cpu"))).at_start_mb

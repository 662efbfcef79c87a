"""A run: every finding, models loaded no more often than needed, mistakes found before the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from model.bench import run, timing
from model.bench.plan import MEMORY, Section
from model.bench.result import BenchResult, CachedImage
from model.bench.roofline import ceilings
from model.bench.roofline.ceilings import Ceilings, ProbeSize
from model.bench.run import BenchSession, cached_image, check, needed_bytes, open_session, report
from model.bench.timing import Stopwatch
from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.machine.cores import usable_cores
from model.runtime.hardware import choose_precision

CPU = torch.device("cpu")
MICRO = "random:pheye-micro"
FEW = {"encode": (1,), "decode": (1, 2), MEMORY: (1,)}


@pytest.fixture(autouse=True)
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ceilings.PROBES, "cpu", ProbeSize(1 << 20, 64))  # type: ignore[arg-type]
    monkeypatch.setattr(timing, "LEAST_SAMPLE_S", 0.0)


@pytest.fixture
def session() -> Iterator[BenchSession]:
    told: list[str] = []
    yield BenchSession(CPU, Stopwatch(), told.append)
    assert told, "whoever waits is told for what"


def test_a_section_gives_ceilings_a_cached_image_and_every_workload_in_every_format(session: BenchSession) -> None:
    section = Section(MICRO, ("float32", "int8"), FEW, repeats=2, prompt_tokens=16)
    found = list(run.run([section], session))
    assert [type(each) for each in found] == [Ceilings, CachedImage, BenchResult, BenchResult, BenchResult] * 2
    results = [each for each in found if isinstance(each, BenchResult)]
    assert [(each.dtype, each.label) for each in results] == [
        (dtype, label) for dtype in ("float32", "int8") for label in ("encode", "decode", "decode, 2 rows")
    ]
    assert all(each.agreement > 0.999 and not each.wrong for each in results if each.dtype == "float32")
    assert all(each.floor.seconds > 0 and each.peak_bytes > 1 << 20 for each in results)
    assert not torch.is_inference_mode_enabled(), "the mode does not leak out of the run"
    whole = report([section], found, CPU)
    assert (whole.sections, whole.results) == ((section,), tuple(results))
    assert (len(whole.ceilings), len(whole.cached)) == (2, 2)


@pytest.mark.parametrize(
    ("dtypes", "loaded"),
    [
        (("float32", "int8"), [torch.float32]),
        (("float32", "bfloat16", "int8"), [torch.float32, torch.bfloat16, torch.float32]),
    ],
    ids=["shared", "one at a time"],
)
def test_the_twin_is_loaded_once_for_formats_that_share_it(
    dtypes: tuple[str, ...], loaded: list[torch.dtype], session: BenchSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []
    load = run.load_twin

    def load_twin(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> object:
        seen.append(dtype)
        return load(checkpoint, device, dtype)

    monkeypatch.setattr(run, "load_twin", load_twin)
    for _ in run.run([Section(MICRO, dtypes, {"prefill": (1,)}, repeats=1, prompt_tokens=16)], session):
        pass
    assert seen == loaded


def test_memory_alone_loads_no_model(session: BenchSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(run, "load_twin")
    found = list(run.run([Section(MICRO, ("float32",), {MEMORY: (1,)})], session))
    assert [type(each) for each in found] == [Ceilings, CachedImage]


@pytest.mark.parametrize(
    ("model", "dtype", "size_bytes"),
    [
        ("Pheye-x4-448", "int8", 2 * 1280 * 1285),
        ("pheye-micro", "bfloat16", 2 * 64 * 325),
        ("pheye-micro", "float32", 4 * 64 * 325),
    ],
)
def test_a_cached_image_is_measured_at_full_size_without_the_model(model: str, dtype: str, size_bytes: int) -> None:
    whole = open_checkpoint(f"random:{model}")
    found = cached_image(model, dtype, whole, CPU, choose_precision(dtype, CPU, whole.config))
    assert found.cached_bytes == found.formula_bytes == size_bytes


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        (Section("random:pheye-huge", ("float32",)), "no geometry 'pheye-huge'"),
        (Section(MICRO, ("float32",), prompt_tokens=1010), "--prompt-tokens: pheye-micro has room for 1024"),
    ],
    ids=["model", "prompt"],
)
def test_what_cannot_be_measured_is_said_before_anything_is(section: Section, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check([Section(MICRO, ("float32",)), section], CPU)


def test_the_memory_of_both_sides_is_estimated() -> None:
    full = Section("random:Pheye-x4-448", ("float32", "int8"))
    assert 20e9 < needed_bytes([full]) < 23.4e9, "the peak that was measured"
    eight_rows = Section("random:Pheye-x2-672", ("float32",), {"decode": (1, 8)})
    assert 19.5e9 < needed_bytes([eight_rows]) < 21.5e9, "the peak that was measured"
    assert needed_bytes([replace(full, dtypes=("int8",))]) < 14e9
    assert needed_bytes([replace(full, work={"encode": (1,)})]) < 8e9
    assert needed_bytes([replace(full, work={"memory": (1,)})]) == 0


def test_a_gpu_is_waited_for_before_and_after_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(run, "resolve_device", torch.device)  # as if there were one
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(f"waited for {device}"))
    open_session("cuda", 1, events.append).watch.once(lambda _: events.append("work"))
    assert events == ["waited for cuda", "work", "waited for cuda"]


def test_a_cpu_is_not_waited_for_and_has_the_threads_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.delattr(torch.cuda, "synchronize")
    open_session("cpu", 3, print).watch.once(lambda _: None)
    open_session("cpu", 0, print)
    assert threads == [3, usable_cores()]

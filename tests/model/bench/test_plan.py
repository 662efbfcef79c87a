"""Plans: the targets are covered, and what a user asks for is what is done."""

from __future__ import annotations

import pytest

from model.bench.plan import MEMORY, WORKLOADS, PlanOverrides, Section, plan
from model.bench.targets import TARGETS

RANDOM = "random:pheye-micro"


def covered(section: Section, workload: str, dtype: str, rows: int) -> bool:
    return dtype in section.dtypes and rows in section.work.get(workload, ())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_full_run_measures_every_target_of_its_device(device: str) -> None:
    sections = plan(device, (), quick=False)
    wanted = [target for target in TARGETS if target.device == device]
    assert wanted
    for each in wanted:
        own = [section for section in sections if section.name == each.model]
        assert any(covered(section, each.workload, each.dtype, each.rows) for section in own), each
        assert each.images == (1 if each.workload == "questions" else each.rows)


def test_a_gpu_gets_all_published_geometries_and_batches_up_to_64() -> None:
    sections = plan("cuda", (), quick=False)
    assert [section.name for section in sections] == ["Pheye-x4-448", "Pheye-x4-672", "Pheye-x2-448", "Pheye-x2-672"]
    assert all(section.work["decode"] == (1, 2, 4, 8, 16, 32, 64) for section in sections)


def test_a_quick_run_has_everything_on_the_small_model_and_little_at_full_size() -> None:
    small, *large = plan("cpu", (), quick=True)
    assert small.model == "pheye-tiny"
    assert set(small.work) == set(WORKLOADS)
    assert {name for section in large for name in section.work} == {"decode", "encode", MEMORY}


def test_models_that_are_named_are_measured_completely() -> None:
    first, second = plan("cpu", [RANDOM, "some/folder/my-model/"], quick=False)
    assert (first.name, second.name) == ("pheye-micro", "my-model")
    assert set(first.work) == set(second.work) == set(WORKLOADS)


def test_a_wish_changes_what_it_names_and_nothing_else() -> None:
    (section,) = plan("cpu", [RANDOM], quick=False)
    assert PlanOverrides().applied_to(section) == section
    overrides = PlanOverrides(
        ("bfloat16",), rows=(2, 3), images=(5,), only=("decode", "caption"), repeats=7, prompt_tokens=40
    )
    assert overrides.applied_to(section) == Section(
        RANDOM, ("bfloat16",), {"decode": (2, 3), "caption": (5,)}, repeats=7, prompt_tokens=40
    )
    (full, _) = plan("cpu", [], quick=False)
    assert (full.long_repeats, PlanOverrides(repeats=7).applied_to(full).long_repeats) == (2, None)
    assert PlanOverrides(rows=(2,)).applied_to(section).work["encode"] == section.work["encode"]

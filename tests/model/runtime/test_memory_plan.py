"""Memory by plan: figures checked by hand, budgets that are used up and never exceeded, and refusals that help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.complexity import parameters, slot_bytes
from model.config import GEOMETRIES, named_geometry
from model.runtime.memory_plan import GIB, MOST_SLOTS, MemoryDemand, MemoryPlanError, plan_memory, workspace_bytes

LARGEST = named_geometry("Pheye-x2-672")
demands = st.builds(
    MemoryDemand,
    st.integers(64, 2048),
    slots=st.just(0),
    feature_cache_bytes=st.one_of(st.none(), st.integers(0, 4 * GIB)),
    absorbed=st.booleans(),
)
geometries = st.sampled_from(list(GEOMETRIES.values()))


def test_an_80_gib_card_runs_64_rows_of_the_largest_model() -> None:
    plan = plan_memory(LARGEST, "bfloat16", MemoryDemand(1024), 72 * GIB)
    weights, rows, images, waiting, workspace, cache, rest = (part.size_bytes for part in plan.parts)
    assert plan.slots == 64
    assert weights == 2 * parameters(LARGEST).served
    assert rows == 64 * 2 * 24 * 2048 * 1024 * 2  # slots, K and V, layers, width, tokens, bytes
    # 12 cross-attention blocks of 2048 channels over 2570 image tokens; 45 tokens that every prompt begins with.
    assert images == 64 * (2 * 12 * 2048 * 2570 * 2 + 2 * 24 * 2048 * 45 * 2)
    assert waiting == (2 * 64 + 32) * 2570 * 1280 * 2
    assert workspace == 1_967_161_344
    assert cache == plan.feature_cache_bytes == 5802 * 2570 * 1280 * 2
    assert weights + rows + images + waiting + workspace + cache + rest == 72 * GIB


def test_the_workspace_is_the_larger_of_encoding_and_prefilling() -> None:
    encode = 80 * 257 * (3 * 5120 + 2 * 1280) * 2 + 80 * 3 * 224 * 224 * (1 + 3 * 4)
    assert workspace_bytes(LARGEST, "bfloat16", slots=64, tiles_at_once=80) == GIB + encode
    prefill = 64 * 128 * (3 * 8192 + 2 * 2048) * 2 + 64 * 51200 * (2 + 4 * 8 + 2 * 4)
    assert workspace_bytes(LARGEST, "bfloat16", slots=64, tiles_at_once=1) == GIB + prefill


def test_an_absorbed_image_slot_keeps_features_alone() -> None:
    plan = plan_memory(LARGEST, "bfloat16", MemoryDemand(1024, slots=64, absorbed=True), 72 * GIB)
    assert plan.parts[2].size_bytes == 64 * (2570 * 1280 * 2 + 2 * 24 * 2048 * 45 * 2)


def test_the_table_has_a_line_for_each_part() -> None:
    plan = plan_memory(LARGEST, "bfloat16", MemoryDemand(1024, feature_cache_bytes=GIB), 14 * GIB)
    assert list(map(str, plan.parts)) == [
        "     6.05 GiB  weights",
        "     2.06 GiB  KV cache (11 slots of 1024 tokens)",
        "     2.68 GiB  images of running requests (11 slots)",
        "     0.33 GiB  features of waiting requests (at most 54 images)",
        "     1.83 GiB  workspace",
        "     1.00 GiB  feature cache (163 images)",
        "     0.05 GiB  left over",
    ]


@given(geometries, demands, st.integers(6 * GIB, 200 * GIB))
def test_a_budget_is_never_exceeded_and_one_slot_more_would(config, demand: MemoryDemand, budget: int) -> None:
    try:
        plan = plan_memory(config, "bfloat16", demand, budget)
    except MemoryPlanError:
        return  # which the next test is about
    assert sum(part.size_bytes for part in plan.parts) == budget
    assert all(part.size_bytes >= 0 for part in plan.parts)
    if demand.feature_cache_bytes is not None:
        assert plan.feature_cache_bytes == demand.feature_cache_bytes
    assert 1 <= plan.slots <= MOST_SLOTS
    if plan.slots < MOST_SLOTS:
        more = MemoryDemand(demand.context_tokens, plan.slots + 1, demand.feature_cache_bytes, absorbed=demand.absorbed)
        with pytest.raises(MemoryPlanError):
            plan_memory(config, "bfloat16", more, budget)


@given(geometries, demands, st.integers(0, 10 * GIB))
def test_the_least_budget_that_is_enough_is_named_by_the_refusal_of_a_smaller_one(
    config, demand: MemoryDemand, budget: int
) -> None:
    one = MemoryDemand(demand.context_tokens, 1, demand.feature_cache_bytes, absorbed=demand.absorbed)
    enough = sum(part.size_bytes for part in plan_memory(config, "bfloat16", one, 500 * GIB).parts[:5])
    enough += config.image_tokens * config.vision.width * 2 if one.feature_cache_bytes is None else 0
    enough += one.feature_cache_bytes or 0
    assert plan_memory(config, "bfloat16", demand, enough).slots == 1
    with pytest.raises(MemoryPlanError, match=r"^gpu_memory_share: .* one slot needs weights .*context_tokens"):
        plan_memory(config, "bfloat16", demand, min(budget, enough - 1))


def test_more_slots_than_fit_are_refused_with_how_many_would() -> None:
    with pytest.raises(MemoryPlanError, match=r"^slots: 128 do not fit, 13 would; 14\.00 GiB"):
        plan_memory(LARGEST, "bfloat16", MemoryDemand(1024, slots=128), 14 * GIB)


def test_more_slots_than_are_taken_unasked_may_be_asked_for() -> None:
    assert plan_memory(LARGEST, "bfloat16", MemoryDemand(1024, slots=128), 72 * GIB).slots == 128


@pytest.mark.parametrize(
    ("demand", "slots", "features"),
    [(MemoryDemand(1024), 8, GIB), (MemoryDemand(1024, 3, 0), 3, 0)],
    ids=["unasked", "as asked"],
)
def test_a_cpu_gets_what_was_asked_for_or_fixed_sizes(demand: MemoryDemand, slots: int, features: int) -> None:
    plan = plan_memory(LARGEST, "int8", demand, None)
    assert (plan.slots, plan.feature_cache_bytes, plan.parts) == (slots, features, ())


def test_a_context_beyond_the_models_own_takes_no_memory() -> None:
    config = named_geometry("pheye-tiny")
    own, beyond = (plan_memory(config, "bfloat16", MemoryDemand(tokens), 8 * GIB) for tokens in (1024, 2048))
    assert own == beyond
    assert slot_bytes(config, 2048, "bfloat16") == slot_bytes(config, 1024, "bfloat16")

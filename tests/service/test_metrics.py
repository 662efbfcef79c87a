"""Metrics: names, help texts, and what a step report counts."""

from __future__ import annotations

import pytest

from service.messages import StepReport
from service.metrics import DROP_REASONS, Metrics, metric_rows

STEP = StepReport(
    encode_s=0.2, prefill_s=0.1, decode_s=0.3, step_s=0.65, stall_s=0.25, encoded_tiles=5, prefill_rows=2,
    prompt_tokens=40, decode_rows=3, generated_tokens=5, cache_queries=2, cache_hits=1,
)  # fmt: skip


def series(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.render()[0].decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pheye_prompt_tokens_total", 40),
        ("pheye_generated_tokens_total", 5),
        ("pheye_encoded_tiles_total", 5),
        ("pheye_feature_cache_queries_total", 2),
        ("pheye_feature_cache_hits_total", 1),
        ("pheye_encode_seconds_sum", 0.2),
        ("pheye_prefill_seconds_sum", 0.1),
        ("pheye_tiles_per_encode_sum", 5),
        ("pheye_decode_batch_size_sum", 3),
        ("pheye_decode_stall_seconds_sum", 0.25),
        ('pheye_step_seconds_sum{phase="decode"}', 0.3),
        ('pheye_step_seconds_sum{phase="other"}', pytest.approx(0.05)),
    ],
)
def test_a_step_report_is_counted(name, value):
    metrics = Metrics()
    metrics.record_step(STEP)
    assert series(metrics)[name] == value


def test_a_phase_that_a_step_skipped_is_not_observed():
    metrics = Metrics()
    metrics.record_step(StepReport(decode_s=0.1, step_s=0.1, decode_rows=1))
    counts = series(metrics)
    for name in (
        "pheye_encode_seconds_count",
        'pheye_step_seconds_count{phase="encode"}',
        "pheye_tiles_per_encode_count",
    ):
        assert counts[name] == 0
    assert counts['pheye_step_seconds_count{phase="decode"}'] == 1


def test_every_reason_to_drop_a_request_has_a_series_from_the_start():
    text = Metrics().render()[0].decode()
    assert all(f'pheye_requests_dropped_total{{reason="{reason}"}} 0.0' in text for reason in DROP_REASONS)


def test_two_metrics_objects_do_not_share_counts():
    one, other = Metrics(), Metrics()
    one.record_step(STEP)
    assert series(other)["pheye_generated_tokens_total"] == 0


def test_no_creation_times_clutter_the_scrape():
    assert "_created" not in Metrics().render()[0].decode()


@pytest.mark.parametrize("row", list(metric_rows()), ids=lambda row: row.name)
def test_a_metric_is_named_and_described_for_operators(row):
    assert row.name.startswith("pheye_")
    assert row.help.endswith(".")
    assert (row.type == "counter") == row.name.endswith("_total")
    if row.name.endswith("_seconds"):
        assert "econds" in row.help
    if row.name.endswith("_bytes"):
        assert "ytes" in row.help


def test_the_attribute_of_a_metric_is_its_name_without_prefix_and_total():
    metrics = Metrics()
    for row in metric_rows():
        assert hasattr(metrics, row.name.removeprefix("pheye_").removesuffix("_total"))

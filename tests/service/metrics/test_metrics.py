"""Metrics: names, help texts, and what a step report counts."""

from __future__ import annotations

import os

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from service.messages.from_worker import StepReport
from service.metrics.service_metrics import DROP_REASONS, MOST_KEYS, OTHER_KEYS, Metrics, metric_rows

STEP = StepReport(
    encode_s=0.2, prefill_s=0.1, decode_s=0.3, step_s=0.65, stall_s=0.25, encoded_tiles=5, prefill_rows=2,
    prompt_tokens=40, decode_rows=3, generated_tokens=5, cache_queries=2, cache_hits=1,
)  # fmt: skip
WORKER = ("0", "cpu")
LABELS = 'device="cpu",worker="0"'
STEP_SECONDS = 'pheye_step_seconds_{}{{device="cpu",phase="{}",worker="0"}}'


def with_worker() -> Metrics:
    metrics = Metrics()
    metrics.declare_worker(WORKER, os.getpid)
    return metrics


def series(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.render()[0].decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"pheye_prompt_tokens_total{{{LABELS}}}", 40),
        (f"pheye_generated_tokens_total{{{LABELS}}}", 5),
        (f"pheye_encoded_tiles_total{{{LABELS}}}", 5),
        (f"pheye_feature_cache_queries_total{{{LABELS}}}", 2),
        (f"pheye_feature_cache_hits_total{{{LABELS}}}", 1),
        ("pheye_encode_seconds_sum", 0.2),
        ("pheye_prefill_seconds_sum", 0.1),
        ("pheye_tiles_per_encode_sum", 5),
        ("pheye_decode_batch_size_sum", 3),
        ("pheye_decode_stall_seconds_sum", 0.25),
        (STEP_SECONDS.format("sum", "decode"), 0.3),
        (STEP_SECONDS.format("sum", "other"), pytest.approx(0.05)),
    ],
)
def test_a_step_report_is_counted(name, value):
    metrics = with_worker()
    metrics.record_step(STEP, WORKER)
    assert series(metrics)[name] == value


def test_a_phase_that_a_step_skipped_is_not_observed():
    metrics = with_worker()
    metrics.record_step(StepReport(decode_s=0.1, step_s=0.1, decode_rows=1), WORKER)
    counts = series(metrics)
    for name in (
        "pheye_encode_seconds_count",
        STEP_SECONDS.format("count", "encode"),
        "pheye_tiles_per_encode_count",
    ):
        assert counts[name] == 0
    assert counts[STEP_SECONDS.format("count", "decode")] == 1


def test_every_reason_to_drop_a_request_has_a_series_from_the_start():
    text = Metrics().render()[0].decode()
    assert all(f'pheye_requests_dropped_total{{reason="{reason}"}} 0.0' in text for reason in DROP_REASONS)


def test_two_metrics_objects_do_not_share_counts():
    one, other = with_worker(), with_worker()
    one.record_step(STEP, WORKER)
    assert series(other)[f"pheye_generated_tokens_total{{{LABELS}}}"] == 0


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


def test_each_worker_has_gauges_of_its_own_and_those_of_one_that_is_not_ready_are_zero():
    metrics = with_worker()
    metrics.declare_worker(("1", "cuda:0"), lambda: None)
    metrics.show_worker(WORKER, 3, 8, StepReport(slots_used=4, cache_bytes=99))
    metrics.show_worker(("1", "cuda:0"), 0, 0, StepReport())
    told = series(metrics)
    other = 'device="cuda:0",worker="1"'
    gauges = ("requests_running", "slots", "slots_used", "slots_used_ratio", "feature_cache_bytes")
    assert [told[f"pheye_{name}{{{LABELS}}}"] for name in gauges] == [3, 8, 4, 0.5, 99]
    assert [told[f"pheye_{name}{{{other}}}"] for name in gauges] == [0, 0, 0, 0, 0]
    assert told[f"pheye_worker_restarts_total{{{other}}}"] == 0


def test_a_worker_that_is_forgotten_leaves_no_series():
    metrics = with_worker()
    metrics.record_step(STEP, WORKER)
    metrics.forget_worker(WORKER)
    assert not [name for name in series(metrics) if "worker=" in name]


def test_memory_and_cpu_time_of_this_process_and_of_the_workers_that_live_are_told():
    metrics = with_worker()
    metrics.declare_worker(("1", "cpu"), lambda: None)
    metrics.declare_worker(("2", "cpu"), lambda: 2**22 + 1)  # above Linux' highest process id
    told = series(metrics)
    assert told[f"pheye_worker_resident_memory_bytes{{{LABELS}}}"] > 10**7
    assert told[f"pheye_worker_cpu_seconds_total{{{LABELS}}}"] > 0
    assert told["process_resident_memory_bytes"] > 10**7
    assert told['python_gc_collections_total{generation="0"}'] > 0
    assert sum(name.startswith("pheye_worker_resident_memory_bytes{") for name in told) == 1


def test_rejected_requests_are_counted_by_reason_and_key_and_the_names_of_keys_are_bounded():
    metrics = Metrics()
    for number in range(2 * MOST_KEYS):
        metrics.count_rejected("rate-limited", f"client {number}")
    metrics.count_rejected("rate-limited", "client 0")
    told = {name: value for name, value in series(metrics).items() if "requests_rejected" in name}
    assert len(told) == MOST_KEYS + 1
    assert told['pheye_requests_rejected_total{key="client 0",reason="rate-limited"}'] == 2
    assert told[f'pheye_requests_rejected_total{{key="{OTHER_KEYS}",reason="rate-limited"}}'] == MOST_KEYS


def test_an_exemplar_is_in_openmetrics_only():
    metrics = Metrics()
    metrics.request_seconds.labels("/v1/vqa").observe(0.3, {"trace_id": "4bf9", "span_id": "00f0"})
    assert "4bf9" not in metrics.render()[0].decode()
    text, content_type = metrics.render("application/openmetrics-text; version=1.0.0")
    found = [
        sample.exemplar
        for family in open_metrics(text.decode())
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert content_type.startswith("application/openmetrics-text")
    assert [(each.labels, each.value) for each in found] == [({"trace_id": "4bf9", "span_id": "00f0"}, 0.3)]


def test_gauges_that_change_often_are_looked_up_when_they_are_read():
    metrics, waiting = with_worker(), iter([3, 5])
    metrics.before_reading(lambda: metrics.requests_waiting.set(next(waiting)))
    assert series(metrics)["pheye_requests_waiting"] == 3
    [family] = [each for each in metrics.collect() if each.name == "pheye_requests_waiting"]
    assert family.samples[0].value == 5

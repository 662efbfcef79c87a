"""The standard variables: what switches traces on, and what is refused with a word in the log."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping

import pytest

from service.api.traces.environment import TracesUnavailable, asked_endpoint, tracing_from
from service.metrics.service_metrics import Metrics

ENDPOINT, TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"OTEL_SERVICE_NAME": "eye", "OTEL_TRACES_SAMPLER": "always_on"}, None, id="no-address"),
        pytest.param({ENDPOINT: ""}, None, id="empty"),
        pytest.param({ENDPOINT: HERE}, HERE, id="address"),
        pytest.param({ENDPOINT: HERE, TRACES_ENDPOINT: "https://t/v1/traces"}, "https://t", id="its-own-address"),
        pytest.param({ENDPOINT: "http://[::1]:4318"}, "http://[::1]:4318", id="ipv6"),
        pytest.param({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318", id="default-address"),
        pytest.param({ENDPOINT: HERE, "OTEL_TRACES_EXPORTER": "none"}, None, id="exporter-none"),
        pytest.param({ENDPOINT: HERE, "OTEL_SDK_DISABLED": "TRUE"}, None, id="disabled"),
        pytest.param({ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, HERE, id="protocol"),
        pytest.param(
            {ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
             "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, HERE, id="protocol-of-traces",
        ),
    ],
)  # fmt: skip
def test_traces_are_sent_where_an_address_is_set(environ: Mapping[str, str], endpoint: str | None) -> None:
    assert asked_endpoint(environ) == endpoint


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param(
            {ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "PROTOCOL: write http/protobuf", id="grpc"
        ),
        pytest.param({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: write otlp or none", id="exporter"),
        pytest.param({ENDPOINT: "collector:4318"}, "ENDPOINT: write an address such as", id="no-scheme"),
        pytest.param({ENDPOINT: "http://collector:port"}, "ENDPOINT: write an address such as", id="port"),
        pytest.param({ENDPOINT: "http://[collector"}, "ENDPOINT: write an address such as", id="bracket"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_service_goes_on_without_traces(
    environ: Mapping[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TracesUnavailable, match=words):
        asked_endpoint(environ)
    assert tracing_from(environ, Metrics()) is None
    assert "no traces are sent: " in caplog.text
    assert words in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "write a number of spans"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-5", "write a number of spans"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "max_export_batch_size"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
    ],
    ids=["queue", "no queue", "batch", "limit"],
)
def test_a_variable_that_the_sdk_refuses_does_not_keep_the_service_from_starting(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, value)
    assert tracing_from({ENDPOINT: HERE}, Metrics()) is None
    assert words in caplog.text


def test_a_short_queue_has_short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    tracing = tracing_from({ENDPOINT: HERE}, Metrics())
    assert tracing is not None
    asyncio.run(tracing.close())


def test_without_the_extra_the_log_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [each for each in sys.modules if each.startswith("service.api.traces.")]:
        if not name.endswith("environment"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert tracing_from({ENDPOINT: HERE}, Metrics()) is None
    assert 'pip install "pheye-service[otel]"' in caplog.text


def test_the_log_names_the_collector_without_what_is_secret_in_its_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pheye.traces"):
        environ = {ENDPOINT: "http://me:secret@127.0.0.1:9/p?key=secret", "OTEL_TRACES_SAMPLER": "always_off"}
        tracing = tracing_from(environ, Metrics())
    assert tracing is not None
    tracing._pipeline.provider.shutdown()
    assert "traces are sent to http://127.0.0.1:9; sampler always_off" in caplog.text
    assert "secret" not in caplog.text

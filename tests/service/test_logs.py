"""The log as JSON, of a service with everything: TLS, a file of keys, agents, texts shown or not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from service.api.request_context import RequestContext
from service.api.request_log import log_request
from service.configuration.settings import SettingsError, load_settings
from service.logs import configure_logging
from tests.support.serving import Server, body, data_uri, image_file, running_server, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KEY = {"Authorization": "Bearer web-secret"}
SECRET_TEXT = "what is my secret plan"
TOOL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {
    "image_url": data_uri(image_file()), "questions": [SECRET_TEXT]}}}  # fmt: skip


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a certificate."""
    folder, authority = tmp_path_factory.mktemp("pem"), trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    authority.issue_cert("localhost").private_key_pem.write_to_path(str(folder / "other.pem"))
    return folder


@pytest.fixture(scope="module")
def server(pem: Path) -> Iterator[Server]:
    (pem / "keys.toml").write_text("[[key]]\nname = 'web'\nkey = 'web-secret'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(pem / "ca.pem"))
        with running_server(
            log_format="json", log_level="debug", mcp=True, default_max_tokens=4, keys_file=pem / "keys.toml",
            tls_cert_file=pem / "cert.pem", tls_key_file=pem / "key.pem",
        ) as running:  # fmt: skip
            yield running


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines()]


def told(server: Server, request_id: str, count: int = 1) -> list[dict[str, Any]]:
    """The lines of one request in the access log, when there are so many."""

    def found() -> list[dict[str, Any]]:
        return [
            line for line in lines(server)
            if line["logger"] == "pheye.access" and line["request_id"] == request_id
        ]  # fmt: skip

    wait_until(lambda: len(found()) >= count)
    return found()


ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "caption": ("/v1/caption", body(settings={})),
    "batch": ("/v1/vqa", body(questions=[SECRET_TEXT, "And?"], settings={})),
    "stream": ("/v1/vqa", body(question=SECRET_TEXT, stream=True, settings={})),
    "moondream": ("/v1/query", body(question=SECRET_TEXT, settings={})),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": SECRET_TEXT}, {"type": "image_url", "image_url": {"url": data_uri(image_file())}}]}]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ASKED)
def test_a_request_has_one_line_that_says_whose_it_was_and_what_it_took(server: Server, kind: str) -> None:
    path, asked = ASKED[kind]
    with server.client(headers=KEY | {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}) as client:
        response = client.post(path, json=asked)
        assert response.is_success, response.text
    (line,) = told(server, response.headers["x-request-id"])
    assert line["event"] == "request"
    assert (line["trace_id"], line["key"], line["client"]) == (TRACE, "web", "127.0.0.1")
    assert (line["route"], line["status"], line["level"]) == (path, 200, "info")
    assert line["questions"] == (2 if kind == "batch" else 1)
    assert line["prompt_tokens"] > line["completion_tokens"] > 0
    assert line["image_tiles"] == 5
    assert isinstance(line["cache_hit"], bool)
    spent = [line[f"{phase}_s"] for phase in ("queue", "preprocess", "encode", "prefill", "decode")]
    assert all(seconds >= 0 for seconds in spent)
    assert sum(spent[1:]) <= line["duration_s"] * 2
    assert not {"prompts", "answers", "reason", "detail"} & line.keys()


def test_an_agents_request_and_the_one_that_it_leads_to_have_the_same_id(server: Server) -> None:
    headers = KEY | {"accept": "application/json, text/event-stream"}
    response = httpx.post(f"{server.url}/mcp", json=TOOL, headers=headers)
    assert not response.json()["result"].get("isError"), response.text
    inner, outer = told(server, response.headers["x-request-id"], 2)
    assert (inner["route"], inner["inner"], inner["key"]) == ("/v1/vqa", True, "web")
    assert inner["completion_tokens"] > 0
    assert (outer["route"], outer["status"]) == ("/mcp", 200)
    assert "inner" not in outer


@pytest.mark.parametrize(
    ("path", "headers", "asked", "status", "reason", "detail"),
    [
        ("/v1/caption", {}, {}, 401, "unauthorized", "send a valid key"),
        ("/v1/vqa", KEY, body(question=SECRET_TEXT, extra=1), 422, "invalid-field", None),
        ("/v1/caption", KEY, body(image_url="data:image/png;base64,AAAA"), 415, "unsupported-image", None),
        ("/v1/chat/completions", KEY, ASKED["chat"][1] | {"model": "other"}, 404, "model-not-found", None),
        (f"/{'x' * 300}", KEY, {}, 404, "not-found", None),
    ],
    ids=["no key", "field", "image", "model", "route"],
)
def test_a_refusal_has_its_reason_and_repeats_nothing_that_was_sent(
    server: Server, path: str, headers: dict[str, str], asked: Any, status: int, reason: str, detail: str | None
) -> None:
    response = httpx.post(server.url + path, headers=headers, json=asked)
    assert response.status_code == status, response.text
    (line,) = told(server, response.headers["x-request-id"])
    assert (line["status"], line["reason"]) == (status, reason)
    assert line["route"] == (path if path.startswith("/v1") else "other")
    assert line.get("detail", "").startswith(detail or "")
    assert ("detail" in line) == (detail is not None)
    assert len(line["path"]) <= 200


def test_every_line_of_every_process_is_an_object_and_none_has_a_key_an_image_or_a_text(server: Server) -> None:
    for _, asked in ASKED.values():
        httpx.post(f"{server.url}/v1/vqa", json=asked)  # without a key
    loggers = {line["logger"] for line in lines(server)}
    assert {"pheye", "pheye.supervisor", "pheye.access", "pheye.engine"} <= loggers  # the last is the worker's
    for line in lines(server):
        assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    for secret in ("web-secret", SECRET_TEXT, data_uri(image_file())[30:60]):
        assert secret not in server.log


def test_https_refuses_plain_http_and_hurried_strangers_and_goes_on(server: Server) -> None:
    port = httpx.URL(server.url).port
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/livez")
    with server.client() as client:
        assert client.get("/livez").is_success
        assert client.get("/livez").is_success
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("cert.pem", ""), "PHEYE_TLS_KEY_FILE: is needed beside PHEYE_TLS_CERT_FILE"),
        (("", "key.pem"), "PHEYE_TLS_CERT_FILE: is needed beside PHEYE_TLS_KEY_FILE"),
        (("cert.pem", "other.pem"), "PHEYE_TLS_KEY_FILE: is not the key of the certificate"),
        (("cert.pem", "none.pem"), "PHEYE_TLS_KEY_FILE: .*No such file"),
        (("key.pem", "key.pem"), "PHEYE_TLS_CERT_FILE: .*there is no CERTIFICATE in it"),
        (("cert.pem", "locked.pem"), "PHEYE_TLS_KEY_FILE: .*is encrypted"),
    ],
    ids=["no key", "no certificate", "another key", "missing", "swapped", "passphrase"],
)
def test_a_certificate_that_cannot_be_used_is_refused_at_the_start(
    pem: Path, files: tuple[str, str], words: str
) -> None:
    (pem / "locked.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    cert, key = (str(pem / name) if name else "" for name in files)
    with pytest.raises(SettingsError, match=words):
        load_settings(tls_cert_file=cert, tls_key_file=key)


def test_texts_are_shown_where_the_setting_asks_for_them(caplog: pytest.LogCaptureFixture) -> None:
    context = RequestContext(tell_texts=True, texts={"prompts": ["Why?"], "answers": ["So\\n"]}, sent_status=200)
    with caplog.at_level(logging.INFO):
        log_request(context, "POST", "/v1/vqa", "/v1/vqa", logging.INFO)
    (record,) = caplog.records
    assert "'prompts': ['Why?']" in record.getMessage()
    assert record.__dict__["prompts"] == ["Why?"]


def test_warnings_and_what_nobody_catches_are_json_too() -> None:
    program = (
        "import threading, warnings; from service.logs import configure_logging; configure_logging('INFO', 'json');"
        "warnings.warn('old\\nthing'); thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join();"
        "raise ValueError('gone')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    warning, thread, main = map(json.loads, done.stderr.splitlines())
    assert "old\nthing" in warning["event"]
    assert "ZeroDivisionError" in thread["exception"]
    assert main["level"] == "critical"
    assert "ValueError: gone" in main["exception"]


def test_text_is_the_form_that_nobody_has_to_ask_for() -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    try:
        configure_logging("INFO", load_settings().log_format)
        assert type(root.handlers[0].formatter) is logging.Formatter
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]

"""The server to measure against: it says what the service says, and a comparison drives both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner

from loadtest.__main__ import main
from service.cli.main import app
from tests.support.serving import RANDOM, Server, data_uri, image_file, running_server

COMMAND = (
    "import sys, warnings; warnings.filterwarnings('ignore', '`is_gradient_checkpointing` is', FutureWarning); "
    "sys.argv = ['pheye', 'dev', 'baseline']; from service.cli.entry import main; main()"
)
SHORT = {"max_tokens": 12}


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def baseline() -> Iterator[Server]:
    with running_server(serve=COMMAND) as running:
        yield running


def asked(server: Server, path: str, image: bytes | None = None, **fields: Any) -> httpx.Response:
    body = {"image_url": data_uri(image or image_file()), "settings": SHORT} | fields
    return httpx.post(f"{server.url}{path}", json=body, timeout=60)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param("/v1/caption", {}, id="caption"),
        pytest.param("/v1/caption", {"length": "long"}, id="long caption"),
        pytest.param("/v1/caption", {"style": "scene_text"}, id="caption of text"),
        pytest.param("/v1/vqa", {"question": "What is it?"}, id="question"),
        pytest.param("/v1/vqa", {"question": "What is it?", "answer_style": "short"}, id="short answer"),
        pytest.param("/v1/vqa", {"questions": ["What?", "Which?", ""]}, id="questions"),
        pytest.param("/v1/vqa", {"questions": ["What?"]}, id="a list of one question"),
        pytest.param("/v1/vqa", {"question": "Which?", "settings": {"max_tokens": 1}}, id="one token"),
    ],
)
def test_it_answers_in_the_services_words_and_shape(
    service: Server, baseline: Server, path: str, fields: dict[str, Any]
) -> None:
    ours, theirs = asked(service, path, **fields).json(), asked(baseline, path, **fields).json()
    assert theirs.keys() == ours.keys() - {"confidence", "confidences"}  # which the service adds
    assert theirs["timings"].keys() == ours["timings"].keys()
    assert theirs["usage"] == ours["usage"] | {"image_tiles_cached": 0, "image_features_cached": False}
    for key in theirs.keys() - {"id", "usage", "timings"}:
        assert theirs[key] == ours[key]


def test_it_reads_forms_too(service: Server, baseline: Server) -> None:
    fields = {"question": "What is it?", "settings": json.dumps(SHORT)}
    found = [
        httpx.post(f"{server.url}/v1/vqa", data=fields, files={"image": image_file("PNG")}, timeout=60).json()["answer"]
        for server in (service, baseline)
    ]
    assert found[0] == found[1] != ""


def test_requests_at_the_same_time_get_their_own_answers(baseline: Server) -> None:
    images = [image_file("PNG", (40 + 20 * n, 50)) for n in range(6)]

    def caption(image: bytes) -> str:
        return str(asked(baseline, "/v1/caption", image).json()["caption"])

    alone = [caption(image) for image in images]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(caption, images)) == alone
    assert len(set(alone)) > 1


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"stream": True}, 422, "stream"),
        ({"explain": True}, 422, "explain"),
        ({"settings": {"temperature": 0.5}}, 422, "greedily"),
        ({"settings": {"stop": ["a"]}}, 422, "settings"),
        ({"colour": "red"}, 422, "colour"),
        ({"image_url": "data:image/png;base64,AAAA"}, 415, "image"),
        ({"image_url": "https://there/photo.jpg"}, 422, "fetching"),
    ],
    ids=["stream", "explanation", "temperature", "stop", "unknown field", "no image", "a link"],
)
def test_what_it_does_not_offer_it_refuses(baseline: Server, fields: dict[str, Any], status: int, said: str) -> None:
    response = asked(baseline, "/v1/caption", **fields)
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert said in response.json()["detail"]


def test_it_says_what_it_runs(baseline: Server) -> None:
    card = httpx.get(f"{baseline.url}/readyz").json()
    assert card == {"status": "ready", "model": "pheye-micro-random-weights", "device": "cpu", "dtype": "float32"}


def test_a_comparison_drives_both_with_the_same_requests(
    service: Server, baseline: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = ["--server", f"pheye={service.url}", "--server", f"baseline={baseline.url}"]
    words = ["--clients", "1,3", "--repeats", "2", "--requests", "4", "--per-client", "1", "--max-tokens", "4"]
    assert main(["compare", *servers, *words, "--size", "48x32", "--report", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    order = [(point["repeat"], point["load"]["loop"]["clients"], point["server"]) for point in document["points"]]
    assert order == [(n, clients, name) for n in (0, 1) for clients in (1, 3) for name in ("pheye", "baseline")]
    tokens = [point["summary"]["tokens"] for point in document["points"]]
    assert tokens[::2] == tokens[1::2]
    assert [row["lost"] for row in document["rows"]] == [0] * 4
    ratios = [(each["server"], each["other"], each["load"]["loop"]["clients"]) for each in document["ratios"]]
    assert ratios == [("pheye", "baseline", clients) for clients in (1, 3)]
    throughput = [point["summary"]["answers_per_s"] for point in document["points"]]
    quotients = sorted([throughput[0] / throughput[1], throughput[4] / throughput[5]])
    figure = document["ratios"][0]["figures"]["answers_per_s"]
    assert [figure["low"], figure["high"]] == pytest.approx(quotients)
    assert "pheye / baseline" in capsys.readouterr().out
    with Image.open(tmp_path / "report.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "random:pheye-huge"], "no geometry 'pheye-huge'"),
        (["--model", RANDOM, "--device", "cpu,cpu"], "is not a device"),
        (["--model", RANDOM, "--host", "203.0.113.1"], "assign requested address"),
    ],
    ids=["model", "device", "address"],
)
def test_what_keeps_it_from_starting_is_one_line(words: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bench.baseline.configure_api_logging", lambda *_: None)  # pytest has its own
    result = CliRunner().invoke(app, ["dev", "baseline", "--port", "0", *words])
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr

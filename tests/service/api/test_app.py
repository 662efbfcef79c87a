"""The routes over real sockets: a process, a port, the tiny random model, and clients of every kind."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from model.config import named_geometry
from service.decoding.formats.known import readable_formats
from tests.support.serving import (
    ENDLESS,
    TALKATIVE,
    assert_problem,
    body,
    data_uri,
    events_of,
    image_file,
    running_server,
    wait_until,
)

LONG = {"max_tokens": 700, **ENDLESS}
PATIENCE_S = 60.0  # with a machine that others keep busy
PATHS = ("/v1/caption", "/v1/vqa", "/v1/query")


@pytest.fixture(scope="module")
def server():
    with running_server(max_pixels=1_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def test_a_caption_says_what_it_is_and_what_it_cost(client):
    response = client.post("/v1/caption", json=body())
    answer = response.json()
    config = named_geometry("pheye-micro")
    assert response.status_code == 200
    assert answer.keys() == {
        "id",
        "model",
        "caption",
        "finish_reason",
        "confidence",
        "image",
        "warnings",
        "usage",
        "timings",
    }
    assert answer["id"] == response.headers["x-request-id"]
    assert answer["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["usage"]["image_tiles"] == config.tiles
    assert answer["usage"]["image_tokens"] == config.image_tokens
    assert answer["timings"].keys() == {"queue", "preprocess", "encode", "prefill", "decode", "total"}
    assert answer["timings"]["total"] >= answer["timings"]["preprocess"] + answer["timings"]["decode"]


def test_an_image_that_came_before_is_not_encoded_again(client):
    fresh = body(image_url=data_uri(image_file("PNG", (50, 40)), "image/png"))
    cached = [client.post("/v1/caption", json=fresh).json()["usage"]["image_features_cached"] for _ in range(2)]
    assert cached == [False, True]


@pytest.mark.parametrize("path", PATHS)
def test_the_three_kinds_of_body_get_the_same_answer(client, path):
    fields = {} if path == "/v1/caption" else {"question": "What is it?"}
    settings = {"max_tokens": 12} | TALKATIVE
    flat = fields | {"settings": json.dumps(settings)}
    jpeg = {"content-type": "image/jpeg"}
    answers = [
        client.post(path, json=body(settings=settings, **fields)),
        client.post(path, data=flat, files={"image": ("a.jpg", image_file(), "image/jpeg")}),
        client.post(path, params=flat, content=image_file(), headers=jpeg),
    ]
    texts = [response.json()["caption" if path == "/v1/caption" else "answer"] for response in answers]
    assert texts[0]
    assert texts == texts[:1] * 3


def test_several_questions_are_answered_in_order_like_each_alone(client):
    settings = {"max_tokens": 10} | TALKATIVE
    questions = ["What is left?", "", "What is right?"]
    together = client.post("/v1/vqa", json=body(questions=questions, settings=settings)).json()
    alone = [client.post("/v1/vqa", json=body(question=text, settings=settings)).json() for text in questions]
    assert together["answers"] == [each["answer"] for each in alone]
    assert together["finish_reasons"] == [each["finish_reason"] for each in alone]
    assert together["usage"]["prompt_tokens"] == sum(each["usage"]["prompt_tokens"] for each in alone)
    assert together["usage"]["image_tiles"] == alone[0]["usage"]["image_tiles"]


def test_questions_may_repeat_in_a_form(client):
    fields = {"questions": ["a", "b"], "settings": '{"max_tokens": 2}'}
    response = client.post("/v1/vqa", data=fields, files={"image": image_file()})
    assert len(response.json()["answers"]) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_streamed_answer_is_the_whole_answer_in_pieces(client, seed):
    asked = body(settings={"max_tokens": 40, "temperature": 1.0, "seed": seed})
    whole = client.post("/v1/caption", json=asked).json()
    with client.stream("POST", "/v1/caption", json=asked | {"stream": True}) as response:
        *chunks, end = events_of(response)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-store"
    assert all(chunk.keys() == {"chunk"} and chunk["chunk"] for chunk in chunks)
    assert "".join(chunk["chunk"] for chunk in chunks) == whole["caption"]
    assert end.keys() == {
        "completed",
        "id",
        "model",
        "finish_reason",
        "confidence",
        "image",
        "warnings",
        "usage",
        "timings",
    }
    assert end["completed"] is True
    assert end["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_a_stream_of_several_answers_says_which_one_a_piece_belongs_to(client):
    asked = body(questions=["a", "b"], settings={"max_tokens": 20} | TALKATIVE)
    whole = client.post("/v1/vqa", json=asked).json()
    with client.stream("POST", "/v1/vqa", json=asked | {"stream": True}) as response:
        *chunks, end = events_of(response)
    for index in range(2):
        assert "".join(chunk["chunk"] for chunk in chunks if chunk["index"] == index) == whole["answers"][index]
    assert end["finish_reasons"] == whole["finish_reasons"]


URL_FREE = {"image_url": None}


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        pytest.param("/v1/caption", URL_FREE, 422, "image_url: no image", id="no-image"),
        pytest.param("/v1/caption", {"image_url": "http://a/b.jpg"}, 422, "a: images are not fetched", id="link"),
        pytest.param("/v1/caption", {"image_url": "nonsense"}, 400, "image_url: not an image", id="no-image-at-all"),
        pytest.param("/v1/caption", {"image_url": "data:;base64,%%"}, 400, "broken base64", id="bad-base64"),
        pytest.param("/v1/caption", {"image_url": "data:;base64,aGVsbG8="}, 415, "image: not of a format", id="text"),
        pytest.param(
            "/v1/caption", {"image_url": data_uri(image_file()[:-300])}, 422, "image: broken or cut short", id="cut"
        ),
        pytest.param(
            "/v1/caption", {"image_url": data_uri(image_file("PNG", (1200, 1000)))}, 413, "1200 x 1000", id="pixels"
        ),
        pytest.param("/v1/caption", {"question": "a"}, 422, "question: unknown field", id="vqa-field-in-caption"),
        pytest.param("/v1/caption", {"model": "gpt"}, 422, "model: the model served here is 'pheye-micro", id="model"),
        pytest.param("/v1/caption", {"explain": "yes"}, 422, "explain: must be true or false", id="explain"),
        pytest.param("/v1/caption", {"settings": {"max_tokens": 5000}}, 422, "settings.max_tokens: 5000", id="context"),
        pytest.param("/v1/caption", {"settings": {"max_tokens": 1024}}, 422, "settings.max_tokens: ", id="no-room"),
        pytest.param("/v1/vqa", {"question": "why " * 2000}, 422, "question: ", id="prompt-too-long"),
        pytest.param("/v1/vqa", {}, 422, "question: send exactly one", id="no-question"),
        pytest.param("/v1/vqa", {"questions": ["a"] * 17}, 422, "questions: 17 are more than", id="17-questions"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_cannot_be_answered_is_a_problem_that_names_the_field(client, path, fields, status, words, stream):
    problem = assert_problem(client.post(path, json=body(stream=stream) | fields), status, words)
    assert problem["type"].startswith("/errors/")
    assert "base64,aG" not in str(problem)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "words"),
    [
        pytest.param(b"{", "application/json", 400, "body: not valid JSON", id="half-json"),
        pytest.param(b"", "application/json", 400, "body: not valid JSON", id="empty-json"),
        pytest.param(b"[]", "application/json", 400, "body: expected a JSON object", id="list"),
        pytest.param(b"[" * 9_000, "application/json", 400, "body: not valid JSON", id="deep"),
        pytest.param(b'{"a": NaN}', "application/json", 400, "body: not valid JSON", id="nan"),
        pytest.param(b"\xff{}", "application/json", 400, "body: not valid JSON", id="not-utf-8"),
        pytest.param(b"x", "multipart/form-data", 400, "body: Missing boundary", id="no-boundary"),
        pytest.param(b"x", "multipart/form-data; boundary=b", 400, "body: ", id="not-multipart"),
        pytest.param(b"x", "text/plain", 415, "content-type: text/plain", id="text"),
        pytest.param(b"a=b", "application/x-www-form-urlencoded", 415, "content-type: ", id="curls-default"),
        pytest.param(b"", "image/png", 422, "image: the file is empty", id="empty-image"),
        pytest.param(b"<svg/>", "image/svg+xml", 415, "image: not of a format", id="svg"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_a_problem(client, content, content_type, status, words):
    assert_problem(client.post("/v1/caption", content=content, headers={"content-type": content_type}), status, words)


IMAGE = ("a.jpg", image_file(), "image/jpeg")


@pytest.mark.parametrize(
    ("fields", "files", "status", "words"),
    [
        pytest.param({"length": "short"}, [("file", IMAGE)], 422, "file: a file is accepted in", id="name"),
        pytest.param({}, [("image", IMAGE), ("image", IMAGE)], 422, "image: given more than once", id="two-images"),
        pytest.param({"settings": "{"}, [("image", IMAGE)], 400, "settings: not valid JSON", id="settings"),
        pytest.param({"length": ["short", "long"]}, [("image", IMAGE)], 422, "length: given more than", id="twice"),
        pytest.param({"max_token": "5"}, [("image", IMAGE)], 422, "max_token: unknown field", id="no-setting"),
        pytest.param({"image_url": "data:;base64,aaaa"}, [("image", IMAGE)], 422, "image_url: an image was", id="both"),
        pytest.param({"model": "x" * 2**20 + "x"}, [("image", IMAGE)], 422, "model: the model served", id="large"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_understood_is_a_problem(client, fields, files, status, words):
    assert_problem(client.post("/v1/caption", data=fields, files=files), status, words)


def test_a_part_or_a_parameter_without_a_name_is_named_as_that(client):
    files = [("image", IMAGE)]
    assert_problem(client.post("/v1/caption", data={"": "a"}, files=files), 422, "[no-name]: unknown field")
    assert_problem(client.post("/v1/caption", json=body(**{"": 1})), 422, "[no-name]: unknown field")
    assert_problem(client.post("/v1/caption?=1", json=body()), 422, "[no-name]: query parameters")
    assert_problem(client.post("/v1/caption", files=[("", IMAGE)]), 422, "[no-name]: a file is accepted in")


def test_choices_in_one_field_are_told_to_be_several(client):
    asked = {"question": "Which?", "answer_style": "short", "choices": "yes,no"}
    words = "choices: must have at least 2 entries; repeat the field for each"
    assert_problem(client.post("/v1/vqa", data=asked, files=[("image", IMAGE)]), 422, words)
    problem = assert_problem(client.post("/v1/vqa", json=body(**asked | {"choices": ["yes,no"]})), 422, "choices: must")
    assert "repeat" not in str(problem["detail"])


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", None], ids=["curls-own", "none"])
@pytest.mark.parametrize("query", ["", "?length=short"], ids=["plain", "with-fields"])
def test_a_file_whose_content_type_was_forgotten_is_415_that_names_it(client, content_type, query):
    headers = {"content-type": content_type} if content_type else {}
    sent = client.post(f"/v1/caption{query}", content=image_file(), headers=headers)
    assert_problem(sent, 415, "with curl add -H 'Content-Type: image/jpeg'")


@pytest.mark.parametrize("text", ["photo.jpg", "img_0a1b", data_uri(image_file())], ids=["name", "id", "data-uri"])
def test_a_form_whose_image_is_text_is_told_to_send_a_file(client, text):
    files = [("image", (None, text))]
    problem = assert_problem(client.post("/v1/caption", files=files), 422, "image: this is text and no file")
    assert "image=@photo.jpg" in str(problem["detail"])


def test_query_parameters_beside_a_json_body_are_refused(client):
    assert_problem(client.post("/v1/caption?length=short", json=body()), 422, "length: query parameters go with")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nosuch", 404), ("GET", "/v1/caption", 405), ("POST", "/livez/", 404)]
)
def test_a_wrong_route_or_method_is_a_problem_too(client, method, path, status):
    response = client.request(method, path)
    assert assert_problem(response, status, "route")["type"] == "about:blank"
    assert response.headers.get("allow") == ("POST" if status == 405 else None)


def test_a_wrong_method_is_told_all_the_right_ones(client):
    assert client.put("/v1/images").headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/", "/v1", "/docs", "/openapi.json", "/nosuch"])
def test_every_response_has_a_request_id(client, path):
    ids = {client.get(path).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(len(each) == 32 for each in ids)


def test_probes_and_the_index_say_what_is_served(client):
    assert client.get("/livez").json() == {"status": "alive"}
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["image_tiles"]) == ("ready", named_geometry("pheye-micro").tiles)
    index = client.get("/v1").json()
    said = {"name": ready["model"], "knows": None, "outside_answer": None, "questions": [], "samples": []}
    assert index["model"] == said
    limits = {"pixels": 1_000_000, "formats": readable_formats(), "image_urls": False}
    assert index["limits"] == index["limits"] | limits
    assert index["links"]["vqa"] == "/v1/vqa"
    assert index["links"].items() >= {("query", "/v1/query"), ("chat_completions", "/v1/chat/completions")}
    assert client.get(index["links"]["models"]).is_success
    assert client.get(index["links"]["openapi"]).is_success


def test_the_documentation_shows_three_kinds_of_body_and_every_error(client):
    document = client.get("/openapi.json").json()
    text = json.dumps(document)
    for path in PATHS:
        route = document["paths"][path]["post"]
        assert route["requestBody"]["content"].keys() == {"application/json", "multipart/form-data", "image/*"}
        assert {"200", "400", "401", "413", "415", "422", "429", "503", "504"} <= route["responses"].keys()
        assert route["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    for name in set(text.split('"#/components/schemas/')[1:]):
        assert name.split('"')[0] in document["components"]["schemas"]
    assert "#/$defs/" not in text


def test_the_metrics_count_requests_by_route_and_not_by_path(server, client):
    client.get("/made-up-by-a-stranger")
    text = client.get("/metrics").text
    assert 'pheye_requests_total{endpoint="/v1/caption",status="200"}' in text
    assert "made-up" not in text
    assert server.metric("pheye_slots") == 8.0
    assert server.metric("pheye_ready") == 1.0
    assert 'pheye_build_info{device="cpu",dtype="float32",model="pheye-micro' in text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_hangs_up_frees_its_slots_and_is_counted(server, stream):
    before = server.metric('pheye_requests_dropped_total{reason="disconnect"}')
    asked = json.dumps(body(questions=["a"] * 8, settings=LONG, stream=stream)).encode()
    head = f"POST /v1/vqa HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(asked)}\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    generated = server.metric("pheye_generated_tokens_total")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + asked)
        wait_until(lambda: server.metric("pheye_requests_running") == 8.0, PATIENCE_S)
    wait_until(lambda: server.metric("pheye_requests_running") == 0.0, PATIENCE_S)
    wait_until(lambda: server.metric("pheye_slots_used") == 0.0, PATIENCE_S)
    assert server.metric("pheye_generated_tokens_total") < generated + 8 * LONG["max_tokens"]
    assert server.metric('pheye_requests_dropped_total{reason="disconnect"}') == before + 1
    assert server.metric('pheye_requests_total{endpoint="/v1/vqa",status="499"}') >= 1.0


def test_a_client_that_leaves_in_the_middle_of_its_upload_is_no_error_of_ours(server):
    before = server.metric('pheye_requests_dropped_total{reason="disconnect"}')
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/caption HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\nabc"
        )
        time.sleep(0.05)
    wait_until(lambda: server.metric('pheye_requests_dropped_total{reason="disconnect"}') == before + 1)


def test_probes_answer_at_once_while_large_images_are_decoded(server, client):
    large = data_uri(image_file("PNG", (999, 1000)), "image/png")
    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(client.post, "/v1/caption", json=body(image_url=large)) for _ in range(16)]
        slowest_s = 0.0
        while not all(each.done() for each in work):
            asked_s = time.monotonic()
            assert httpx.get(f"{server.url}/livez").is_success
            slowest_s = max(slowest_s, time.monotonic() - asked_s)
    assert all(each.result().is_success for each in work)
    assert slowest_s < 1.0


def test_nothing_of_an_image_or_a_question_reaches_the_log(server, client):
    client.post(
        "/v1/vqa", params={"question": "my secret"}, content=image_file(), headers={"content-type": "image/jpeg"}
    )
    client.post("/v1/vqa", json=body(question="my secret", model="x"))
    assert "secret" not in server.log
    assert data_uri(image_file())[30:60] not in server.log
    assert "/v1/vqa" in server.log
    assert "GET '/livez'" not in server.log
    assert "Traceback" not in server.log


def test_the_start_is_announced_with_device_precision_and_reason(server):
    assert "parameters on cpu in float32 (" in server.log
    slots = httpx.get(f"{server.url}/readyz").json()["slots"]
    assert f"; {slots} slots of " in server.log
    assert "RANDOM WEIGHTS" in server.log

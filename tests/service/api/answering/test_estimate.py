"""Estimates: their arithmetic, and what they say against what the request then costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.complexity import decode_flops, encode_flops, feature_bytes, prefill_flops, project_flops
from model.config import GEOMETRIES, named_geometry
from service.api.answering.estimate import AskedRow, CurrentLoad, estimate
from service.dispatch.costs import Costs
from service.messages.from_worker import ModelCard
from service.worker.answer_length import NoRoomError, answer_tokens
from tests.support.serving import (
    ENDLESS,
    Server,
    assert_problem,
    body,
    data_uri,
    image_file,
    running_server,
    wait_until,
)

MEASURED = Costs(tile_s=0.1, prompt_token_s=0.01, decode_step_s=0.02)
ROW = AskedRow(prompt_tokens=50, max_tokens=11)


def card_of(name: str, slots: int = 8) -> ModelCard:
    return ModelCard(
        name=name,
        device="cpu",
        dtype="float32",
        dtype_reason="tested",
        parameters=1,
        config=named_geometry(name),
        context_tokens=1024,
        slots=slots,
        feature_cache_bytes=1 << 30,
        weights_fingerprint="none",
    )


CARD = card_of("pheye-micro")


@pytest.mark.parametrize("name", GEOMETRIES)
@given(rows=st.lists(st.builds(AskedRow, st.integers(1, 900), st.integers(1, 100)), min_size=1, max_size=4))
def test_the_flops_are_those_of_every_step_one_by_one(name: str, rows: list[AskedRow]) -> None:
    config = named_geometry(name)
    flops = estimate(card_of(name), rows, CurrentLoad(MEASURED, 0.0, None)).flops
    steps = [decode_flops(config, row.prompt_tokens + n) for row in rows for n in range(1, row.max_tokens)]
    prompts = [prefill_flops(config, row.prompt_tokens) - project_flops(config) for row in rows]
    assert flops.decode == sum(steps)
    assert flops.prefill == sum(prompts) + project_flops(config)
    assert flops.total == flops.encode + flops.prefill + flops.decode


@pytest.mark.parametrize(
    ("rows", "slots", "steps"),
    [([ROW], 8, 10), ([ROW] * 8, 8, 10), ([ROW] * 9, 8, 20), ([ROW, AskedRow(5, 31)], 8, 30), ([AskedRow(5, 1)], 8, 0)],
    ids=["one", "a-full-batch", "one-too-many", "the-longest-counts", "prefill-gives-the-first"],
)
def test_the_seconds_are_the_measured_costs_times_the_work(rows: list[AskedRow], slots: int, steps: int) -> None:
    seconds = estimate(card_of("pheye-micro", slots), rows, CurrentLoad(MEASURED, 0.5, None)).seconds
    assert seconds.queue == 0.5
    assert seconds.encode == pytest.approx(CARD.image_tiles * 0.1)
    assert seconds.prefill == pytest.approx(sum(row.prompt_tokens for row in rows) * 0.01)
    assert seconds.decode == pytest.approx(steps * 0.02)
    assert seconds.total == pytest.approx(seconds.queue + seconds.encode + seconds.prefill + seconds.decode)
    assert seconds.unknown is None


def test_resident_features_cost_nothing_and_the_saving_is_told_either_way() -> None:
    tiles = CARD.config.tiles
    here, two_here, not_here = (estimate(CARD, [ROW], CurrentLoad(MEASURED, 0.0, cached)) for cached in (tiles, 2, 0))
    assert (here.flops.encode, here.seconds.encode) == (0, 0.0)
    assert here.cache_saves == not_here.cache_saves
    assert not_here.flops.total - here.flops.total == here.cache_saves.flops == encode_flops(CARD.config)
    assert not_here.seconds.total - here.seconds.total == pytest.approx(here.cache_saves.seconds)
    assert two_here.flops.encode / not_here.flops.encode == pytest.approx((tiles - 2) / tiles)
    assert two_here.seconds.encode / not_here.seconds.encode == pytest.approx((tiles - 2) / tiles)
    assert [each.features_resident for each in (here, two_here, not_here)] == [True, False, False]


@pytest.mark.parametrize(
    ("costs", "wait_s", "cached_tiles", "missing"),
    [
        (Costs(), 0.0, None, "encode, prefill, decode"),
        (Costs(), None, CARD.config.tiles, "queue, prefill, decode"),
        (Costs(prompt_token_s=0.1, decode_step_s=0.1), 0.0, CARD.config.tiles - 1, "encode"),
    ],
    ids=["nothing", "only-the-cache", "only-hits-so-far"],
)
def test_what_was_not_measured_is_null_and_says_so(
    costs: Costs, wait_s: float | None, cached_tiles: int | None, missing: str
) -> None:
    seconds = estimate(CARD, [ROW], CurrentLoad(costs, wait_s, cached_tiles)).seconds
    assert seconds.unknown == f"not measured since the start: {missing}; the first answer will tell"
    assert [name for name in ("queue", "encode", "prefill", "decode") if getattr(seconds, name) is None] == (
        missing.split(", ")
    )
    assert seconds.total is None


@given(st.integers(1, 300), st.integers(1, 300), st.integers(64, 256), st.booleans())
def test_an_answer_has_room_behind_its_prompt_or_is_refused(
    asked: int, prompt: int, context: int, may_shorten: bool
) -> None:
    if prompt >= context or (asked > context - prompt and not may_shorten):
        with pytest.raises(NoRoomError) as caught:
            answer_tokens(asked, prompt, context, may_shorten=may_shorten)
        assert caught.value.field == ("question" if prompt >= context else "settings.max_tokens")
    else:
        tokens = answer_tokens(asked, prompt, context, may_shorten=may_shorten)
        assert tokens == min(asked, context - prompt) > 0


def test_a_cost_can_be_told_without_torch() -> None:
    script = "import sys; import service.api.answering.estimate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_before_the_first_answer_the_seconds_are_null_and_the_rest_is_there(server, client):
    told = client.post("/v1/estimate", json={"question": "What is it?"}).json()
    assert told["seconds"]["total"] is None
    assert told["seconds"]["queue"] == 0.0
    assert "encode, prefill, decode" in told["seconds"]["unknown"]
    assert told["features_resident"] is None
    assert told["cache_saves"] == {"flops": told["flops"]["encode"], "seconds": None}
    assert told["bytes"]["features"] == feature_bytes(named_geometry("pheye-micro"), "float32")
    assert server.metric("pheye_prompt_tokens_total") == 0.0


ASKED = [
    pytest.param("/v1/caption", {}, id="caption"),
    pytest.param("/v1/caption", {"length": "long"}, id="long-caption"),
    pytest.param("/v1/caption", {"style": "scene_text", "length": "short"}, id="scene-text"),
    pytest.param("/v1/vqa", {"question": ""}, id="empty-question"),
    pytest.param("/v1/vqa", {"question": "Was steht auf dem Schild? 🦊 é <|endoftext|>"}, id="odd-question"),
    pytest.param("/v1/vqa", {"questions": ["a", "Which one is it?", ""]}, id="three-questions"),
    pytest.param("/v1/vqa", {"question": "a", "answer_style": "short"}, id="short"),
    pytest.param(
        "/v1/vqa", {"questions": ["a", "b"], "answer_style": "choice", "choices": ["cat", "a dog"]}, id="choice"
    ),
]


@pytest.mark.parametrize(("path", "fields"), ASKED)
def test_the_tokens_and_tiles_are_those_that_the_request_then_uses(client, path, fields):
    asked = body(settings={"max_tokens": 6, "seed": 1, "temperature": 1.0}, **fields)
    told = client.post("/v1/estimate", json=asked).json()
    used = client.post(path, json=asked).json()["usage"]
    for name in ("prompt_tokens", "image_tokens", "image_tiles"):
        assert told[name] == used[name], name
    longest = 3 if "choices" in fields else 6  # a space, a letter and the end token: this model has no longer ones
    assert told["max_completion_tokens"] == longest * len(fields.get("questions", [""])) >= used["completion_tokens"]


def test_every_kind_of_body_and_no_body_at_all_get_the_same_estimate(client):
    fields = {"question": "What is it?", "settings": json.dumps({"max_tokens": 6})}
    jpeg = {"content-type": "image/jpeg"}
    client.post("/v1/caption", json=body())
    image_id = client.post("/v1/images", content=image_file(), headers=jpeg).json()["id"]
    with_image = [
        client.post("/v1/estimate", json={"image_url": image_id} | fields | {"settings": {"max_tokens": 6}}),
        client.post("/v1/estimate", data=fields, files={"image": ("a.jpg", image_file(), "image/jpeg")}),
        client.post("/v1/estimate", params=fields, content=image_file(), headers=jpeg),
        client.post("/v1/estimate", params=fields | {"image_url": image_id}),
    ]
    without = client.post("/v1/estimate", params=fields)
    told = [response.json() for response in [*with_image, without]]
    assert [each["features_resident"] for each in told] == [True] * 4 + [None]
    assert told[1:4] == told[:1] * 3
    assert [each["prompt_tokens"] for each in told] == [told[0]["prompt_tokens"]] * 5
    assert client.post("/v1/estimate").json()["prompt_tokens"] > 0


def test_an_estimate_runs_nothing_and_its_image_is_not_kept(server, client):
    image = data_uri(image_file("PNG", (31, 41)), "image/png")
    client.post("/v1/caption", json=body())
    before = {name: server.metric(name) for name in ("pheye_encoded_tiles_total", "pheye_prompt_tokens_total")}
    told = client.post("/v1/estimate", json={"image_url": image}).json()
    assert told["features_resident"] is False
    assert client.post("/v1/estimate", json={"image_url": image}).json()["features_resident"] is False
    assert {name: server.metric(name) for name in before} == before
    assert server.metric("pheye_requests_waiting") == 0.0


def test_after_answers_the_seconds_are_about_what_the_next_one_takes(client):
    settings = {"max_tokens": 200, "temperature": 1.0, "seed": 1}
    for number in range(4):
        client.post("/v1/caption", json=body(image_url=fresh(number), settings=settings))
    told = client.post("/v1/estimate", json=body(image_url=fresh(9), settings=settings)).json()["seconds"]
    answer = client.post("/v1/caption", json=body(image_url=fresh(9), settings=settings)).json()
    step_s = answer["timings"]["decode"] / (answer["usage"]["completion_tokens"] - 1)  # it may end early
    assert told["unknown"] is None
    parts = sum(told[part] for part in ("queue", "encode", "prefill", "decode"))
    assert told["total"] == pytest.approx(parts, abs=5e-6)  # each is rounded to a microsecond
    assert 0.1 < told["decode"] / 199 / step_s < 10


def fresh(number: int) -> str:
    return data_uri(image_file("PNG", (50 + number, 60)), "image/png")


def test_an_estimate_tells_of_the_queue_while_the_slots_are_taken(server, client):
    client.post("/v1/caption", json=body())
    long = {"max_tokens": 700} | ENDLESS
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(client.post, "/v1/vqa", json=body(questions=["a"] * 8, settings=long))
        wait_until(lambda: server.metric("pheye_requests_running") == 8.0)
        assert client.post("/v1/estimate", json={"question": "a"}).json()["seconds"]["queue"] > 0.0
        assert busy.result().is_success
    wait_until(lambda: server.metric("pheye_requests_running") == 0.0)
    assert client.post("/v1/estimate", json={"question": "a"}).json()["seconds"]["queue"] == 0.0


def test_without_max_tokens_the_estimate_is_shortened_to_the_room_that_is_left(client):
    told = client.post("/v1/estimate", json={"question": "why " * 200}).json()
    assert told["prompt_tokens"] + told["max_completion_tokens"] == 1024


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param({"question": "a", "questions": ["b"]}, 422, "question: send one of", id="both"),
        pytest.param({"question": "a", "length": "short"}, 422, "length: is for captions", id="length"),
        pytest.param({"question": "a", "style": "plain"}, 422, "style: is for captions", id="style"),
        pytest.param({"answer_style": "short"}, 422, "answer_style: is for questions", id="answer-style"),
        pytest.param({"choices": ["a", "b"]}, 422, "choices: is for questions", id="choices"),
        pytest.param({"question": "a", "answer_style": "choice"}, 422, "choices: answer_style choice", id="no-choices"),
        pytest.param({"style": "scene_text", "length": "long"}, 422, "style: scene_text is one sentence", id="scene"),
        pytest.param({"questions": ["a"] * 17}, 422, "questions: 17 are more than", id="17-questions"),
        pytest.param({"questions": []}, 422, "questions: ", id="no-questions"),
        pytest.param({"question": "why " * 2000}, 422, "question: its prompt of", id="prompt-too-long"),
        pytest.param({"settings": {"max_tokens": 1024}}, 422, "settings.max_tokens: 1024 and a prompt", id="no-room"),
        pytest.param({"settings": {"max_tokens": 5000}}, 422, "settings.max_tokens: 5000 is more", id="context"),
        pytest.param({"settings": {"max_tokens": 0}}, 422, "settings.max_tokens: ", id="zero"),
        pytest.param({"model": "gpt"}, 422, "model: the model served here", id="model"),
        pytest.param({"image_url": "img_" + "0" * 64}, 404, "upload it again", id="unknown-id"),
        pytest.param({"image_url": "data:;base64,aGVsbG8="}, 415, "image: not of a format", id="text"),
        pytest.param({"max_tokens": 5}, 422, "max_tokens: unknown field", id="flat"),
    ],
)
def test_what_would_be_refused_is_refused_in_the_same_words(client, fields, status, words):
    assert_problem(client.post("/v1/estimate", json=fields), status, words)

"""The public `openai` client, as it is, against a running service."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from tests.support.golden import OWN_GOLDEN
from tests.support.serving import ENDLESS, TALKATIVE, body, data_uri, image_file, running_server, wait_until

KEY = {"authorization": "Bearer secret"}
ASK = {"model": "eye", "max_tokens": 12} | TALKATIVE
LONG = {"model": "eye", "max_tokens": 780} | ENDLESS
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def about(text, url=None):
    """A user's message about the small picture."""
    image = {"type": "image_url", "image_url": {"url": url or data_uri(image_file()), "detail": "high"}}
    return {"role": "user", "content": [{"type": "text", "text": text}, image]}


@pytest.fixture(scope="module")
def server():
    with running_server(api_keys="secret", name="eye", slots=1, max_waiting=1, max_body_bytes=2**21) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0) as client:
        yield client


def test_the_served_model_is_listed_and_found_by_name(client):
    models = client.models.list().data
    assert [model.id for model in models] == ["eye"]
    assert models[0].owned_by == "pheye"
    assert client.models.retrieve("eye") == models[0]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("org/other")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("base", ["/v1", ""], ids=["v1", "bare"])
@pytest.mark.parametrize("name", ["responses", "completions", "embeddings"])
def test_openais_other_protocols_are_told_what_is_offered(server, name, base):
    asks = {
        "responses": lambda client: client.responses.create(model="eye", input="What?"),
        "completions": lambda client: client.completions.create(model="eye", prompt="What?"),
        "embeddings": lambda client: client.embeddings.create(model="eye", input="What?"),
    }
    with (
        openai.OpenAI(base_url=f"{server.url}{base}", api_key="secret") as asking,
        pytest.raises(openai.NotFoundError) as caught,
    ):
        asks[name](asking)
    assert f"/v1/{name} is not offered; use POST /v1/chat/completions" in str(caught.value)
    assert (caught.value.code, caught.value.type) == ("not_offered", "invalid_request_error")


def test_a_chat_is_the_native_answer_in_openais_shape(server, client):
    completion = client.chat.completions.create(messages=[about("What is it?")], **ASK)
    sent = {"image_url": data_uri(image_file()), "question": "What is it?", "settings": {"max_tokens": 12} | TALKATIVE}
    native = httpx.post(f"{server.url}/v1/vqa", json=sent, headers=KEY).json()
    assert completion.choices[0].message.content == native["answer"]
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].finish_reason == native["finish_reason"] == "length"
    assert completion.usage.prompt_tokens == native["usage"]["prompt_tokens"]
    assert completion.usage.completion_tokens == native["usage"]["completion_tokens"] == 12
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 12
    assert completion.model == "eye"
    assert completion.id == f"chatcmpl-{completion._request_id}"
    assert completion.object == "chat.completion"
    assert completion.system_fingerprint.startswith("fp_")
    assert completion.created > 1_700_000_000


@pytest.mark.parametrize("usage", [False, True], ids=["plain", "with-usage"])
def test_a_streamed_chat_is_the_whole_chat_in_pieces(client, usage):
    whole = client.chat.completions.create(messages=[about("What?")], **ASK)
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(client.chat.completions.create(messages=[about("What?")], stream=True, **options, **ASK))
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert pieces[0].delta.role == "assistant"
    assert "".join(piece.delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert len({(chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) for chunk in chunks}) == 1
    assert [chunk.usage for chunk in chunks if chunk.usage] == ([whole.usage] if usage else [])
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)


def test_a_stream_ends_with_openais_word(server):
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", headers=KEY, json={"messages": [about("a")], "stream": True} | ASK
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert lines[-1] == "data: [DONE]"
    assert all("usage" not in json.loads(line.removeprefix("data: ")) for line in lines[:-1])


def test_the_asynchronous_client_gets_the_same_whole_and_streamed(server, client):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="secret") as asking:
            whole = await asking.chat.completions.create(messages=[about("What?")], **ASK)
            chunks = await asking.chat.completions.create(messages=[about("What?")], stream=True, **ASK)
            text = [chunk.choices[0].delta.content or "" async for chunk in chunks]
            return whole.choices[0].message.content, "".join(text)

    expected = client.chat.completions.create(messages=[about("What?")], **ASK).choices[0].message.content
    assert asyncio.run(ask()) == (expected, expected)


def test_an_answer_can_be_sent_back_and_asked_on(server, client):
    first = client.chat.completions.create(messages=[about("What?")], **ASK).choices[0].message
    turns = [about("What?"), first, {"role": "user", "content": "And?"}]
    folded = f"User: What?\nAssistant: {first.content}\nUser: And?"
    then = client.chat.completions.create(messages=turns, **ASK).choices[0].message.content
    assert then == client.chat.completions.create(messages=[about(folded)], **ASK).choices[0].message.content


def test_an_answer_ends_before_a_stop_string(client):
    whole = client.chat.completions.create(messages=[about("What?")], **ASK).choices[0].message.content
    stop = whole[4:6]
    stopped = client.chat.completions.create(messages=[about("What?")], stop=["\0", stop], **ASK).choices[0]
    assert stopped.message.content == whole[: whole.index(stop)]
    assert stopped.finish_reason == "stop"


def test_without_a_temperature_a_chat_is_greedy_and_repeats(client):
    answers = [
        client.chat.completions.create(model="eye", messages=[about("What?")], max_completion_tokens=8, **settings)
        for settings in ({}, {"temperature": 0}, {"seed": 5})
    ]
    assert len({answer.choices[0].message.content for answer in answers}) == 1


@STREAMED
@pytest.mark.parametrize(
    ("fields", "error", "param", "code", "words"),
    [
        pytest.param({"model": "gpt"}, openai.NotFoundError, "model", "model_not_found", "'eye'", id="model"),
        pytest.param({"n": 2}, openai.BadRequestError, "n", "unsupported_parameter", "1 only", id="n"),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            openai.BadRequestError, "tools", "unsupported_parameter", "no tools", id="tools",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "a"}]},
            openai.BadRequestError, "messages", "invalid_value", "no image", id="no-image",
        ),
        pytest.param(
            {"messages": [about("a", "http://a/b.jpg")]},
            openai.BadRequestError, "messages", "invalid_image_url", "a: images are not fetched", id="link",
        ),
        pytest.param(
            {"messages": [about("a", "data:;base64,aGVsbG8=")]},
            openai.BadRequestError, "messages", "unsupported_image", "not of a format", id="no-image-file",
        ),
        pytest.param(
            {"messages": [about("a", "img_" + "0" * 64)]},
            openai.NotFoundError, "messages", "not_found", "upload it again", id="handle",
        ),
        pytest.param(
            {"messages": [about("why " * 2000)]},
            openai.BadRequestError, "messages", "invalid_value", "fills the context", id="long",
        ),
        pytest.param({"max_tokens": 1024}, openai.BadRequestError, "max_tokens", "invalid_value", "exceed", id="room"),
        pytest.param({"max_tokens": 5000}, openai.BadRequestError, "max_tokens", "invalid_value", "more", id="tokens"),
        pytest.param(
            {"max_completion_tokens": 1024, "max_tokens": openai.omit},
            openai.BadRequestError, "max_completion_tokens", "invalid_value", "exceed", id="room-by-the-new-name",
        ),
        pytest.param(
            {"max_completion_tokens": 5000, "max_tokens": openai.omit},
            openai.BadRequestError, "max_completion_tokens", "invalid_value", "more", id="tokens-by-the-new-name",
        ),
        pytest.param(
            {"extra_body": {"guided_json": {}}},
            openai.BadRequestError, "guided_json", "unsupported_parameter", "no given form", id="form",
        ),
        pytest.param(
            {"messages": [about("a"), about("b", data_uri(image_file("PNG"), "image/png"))]},
            openai.BadRequestError, "messages[1].content[1]", "unsupported_parameter", "a second image", id="two",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_an_error_of_the_clients_own(client, fields, error, param, code, words, stream):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**({"messages": [about("What?")]} | ASK | fields), stream=stream)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"
    assert words in caught.value.body["message"]


def test_a_wrong_key_is_an_authentication_error(server):
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_a_body_that_is_too_large_is_told_in_openais_shape(client):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(messages=[about("a", "data:;base64," + "A" * 2**21)], **ASK)
    assert caught.value.status_code == 413
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("content", "content_type"), [(b"{", "application/json"), (b"a=b", "application/x-www-form-urlencoded")]
)
def test_what_is_not_json_is_a_plain_bad_request(server, content, content_type):
    url = f"{server.url}/v1/chat/completions"
    response = httpx.post(url, content=content, headers=KEY | {"content-type": content_type})
    assert response.status_code == 400
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


def test_a_full_service_is_a_rate_limit_error_that_says_when_to_return(server, client):
    with ThreadPoolExecutor(2) as pool:

        def ask():
            return client.chat.completions.create(messages=[about("a")], **LONG)

        running = pool.submit(ask)
        wait_until(lambda: server.metric("pheye_requests_running", **KEY) == 1.0)
        waiting = pool.submit(ask)
        wait_until(lambda: server.metric("pheye_requests_waiting", **KEY) == 1.0)
        with pytest.raises(openai.RateLimitError) as caught:
            ask()
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.code == "rate_limit_exceeded"
        assert running.result().usage == waiting.result().usage


@STREAMED
def test_a_client_that_gives_up_frees_its_slot(server, client, stream):
    if stream:
        chunks = client.chat.completions.create(messages=[about("a")], stream=True, **LONG)
        next(iter(chunks))
        wait_until(lambda: server.metric("pheye_requests_running", **KEY) == 1.0)
        chunks.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.2).chat.completions.create(messages=[about("a")], **LONG)
    wait_until(lambda: server.metric("pheye_requests_running", **KEY) == 0.0)
    wait_until(lambda: server.metric("pheye_slots_used", **KEY) == 0.0)


def test_a_chat_that_fails_in_mid_stream_is_an_error_and_not_a_short_answer():
    with (
        running_server(deadline_s=1.0, name="eye") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
    ):
        wait_until(lambda: httpx.post(f"{server.url}/v1/caption", json=body()).is_success)  # a decoder has come up
        chunks = client.chat.completions.create(messages=[about("a")], stream=True, **LONG)
        with pytest.raises(openai.APIError, match="no complete answer within") as caught:
            list(chunks)
        assert caught.value.code == "deadline_exceeded"
        with pytest.raises(openai.InternalServerError) as caught:
            client.with_options(max_retries=2).chat.completions.create(messages=[about("a")], **LONG)
        assert caught.value.status_code == 504
        assert server.metric('pheye_requests_total{endpoint="/v1/chat/completions",status="504"}') == 2.0


def test_that_the_model_still_loads_is_told_in_openais_shape():
    with running_server(ready=False, warm=False) as server:
        response = httpx.get(f"{server.url}/v1/models")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["type"] == "server_error"


def test_chats_with_a_known_checkpoint_get_the_known_answers():
    folder = OWN_GOLDEN / "x2-l2"
    data = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    with (
        running_server(model=str(folder), dtype="float32") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client,
    ):
        for case in [case for case in data["cases"] if case["question"]]:
            url = data_uri((folder / case["image"]).read_bytes(), "image/png")
            asked = {"model": "x2-l2", "messages": [about(case["question"], url)], "max_tokens": 24}
            completion = client.chat.completions.create(**asked)
            assert completion.choices[0].message.content == case["answer"].lstrip()
            assert completion.usage.prompt_tokens == len(case["input_ids"])
            ended = completion.choices[0].finish_reason
            assert ended == ("stop" if case["greedy_eos"][-1] == data["eos_token_id"] else "length")

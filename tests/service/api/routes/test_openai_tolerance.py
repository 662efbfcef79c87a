"""What other people's chat clients send: taken, answered, and named where it has no effect; over HTTP."""

from __future__ import annotations

import httpx
import openai
import pytest

from tests.support.serving import TALKATIVE, data_uri, image_file, running_server

KEY = {"authorization": "Bearer secret"}
IMAGE = {"type": "image_url", "image_url": {"url": data_uri(image_file())}}
TEXT = {"type": "text", "text": "What is it?"}
ASK = {"model": "eye", "max_tokens": 12} | TALKATIVE
CHAT = "/v1/chat/completions"


def chat(*parts, **fields):
    return {"messages": [{"role": "user", "content": list(parts or (TEXT, IMAGE))}]} | ASK | fields


@pytest.fixture(scope="module")
def server():
    with running_server(api_keys="secret", name="eye", aliases="gpt-4o-mini, org/other") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with server.client(headers=KEY) as client:
        yield client


@pytest.fixture(scope="module")
def expected(client):
    return client.post(CHAT, json=chat()).json()["choices"][0]["message"]["content"]


HISTORY = [
    {"role": "user", "content": [TEXT, IMAGE]},
    {"role": "assistant", "content": None, "refusal": None, "audio": {"id": "a"}, "id": "b", "reasoning_content": "c"},
]
CHANGES = [
    ({"top_k": 5}, "top_k"), ({"min_p": 0.1}, "min_p"), ({"repetition_penalty": 1.1}, "repetition_penalty"),
    ({"verbosity": "low"}, "verbosity"), ({"reasoning_effort": "low"}, "reasoning_effort"), ({"tools": []}, "tools"),
    ({"logit_bias": {}}, "logit_bias"), ({"stop": ""}, "stop"),
    ({"prompt_cache_retention": "24h", "prompt_cache_key": "k"}, "prompt_cache_key,prompt_cache_retention"),
    (chat(TEXT | {"cache_control": {"type": "ephemeral"}}, IMAGE), "messages[].content[].cache_control"),
    (chat(TEXT, {"type": "image_url", "image_url": {"url": data_uri(image_file()), "detail": "original"}}),
     "messages[].content[].image_url.detail"),
    ({"max_completion_tokens": 12}, None),
    (chat(TEXT, {"type": "image_url", "image_url": data_uri(image_file())}), None),
    (chat({"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": data_uri(image_file())}),
     None),
    ({"model": "gpt-4o-mini"}, None), ({"model": "org/other"}, None), ({"model": None}, None),
]  # fmt: skip


@pytest.mark.parametrize(("change", "ignored"), CHANGES, ids=[str(list(change)[-1]) for change, _ in CHANGES])
def test_what_changes_nothing_changes_nothing(client, expected, change, ignored):
    response = client.post(CHAT, json=chat() | change)
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == expected
    assert response.headers.get("x-pheye-ignored") == ignored
    assert response.json()["model"] == "eye"


@pytest.mark.parametrize(
    "change",
    [{"seed": -1}, {"seed": 2**63}, {"seed": -(2**63)}, {"max_tokens": -1, "temperature": 0.0}],
    ids=["random", "64-bits", "signed", "default-length"],
)
def test_numbers_of_other_conventions_are_taken(client, change):
    response = client.post(CHAT, json=chat() | change)
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["completion_tokens"] > 0


def test_seeds_whose_lower_63_bits_are_the_same_give_the_same(client):
    texts = [
        client.post(CHAT, json=chat(seed=seed)).json()["choices"][0]["message"]["content"]
        for seed in (1, 2**63 + 1, 1 - 2**63)
    ]
    assert len(set(texts)) == 1


def test_an_assistants_null_turn_is_left_out(client):
    turns = [*HISTORY, {"role": "user", "content": "And?"}]
    response = client.post(CHAT, json=chat(messages=turns))
    assert response.headers["x-pheye-ignored"] == "messages[].audio,messages[].id,messages[].reasoning_content"
    folded = chat({"type": "text", "text": "User: What is it?\nUser: And?"}, IMAGE)
    assert response.json()["choices"] == client.post(CHAT, json=folded).json()["choices"]


def test_an_image_alone_is_captioned_as_the_caption_route_does(client):
    told = client.post(CHAT, json=chat(IMAGE)).json()
    sent = {"image_url": data_uri(image_file()), "settings": {"max_tokens": 12} | TALKATIVE}
    native = client.post("/v1/caption", json=sent).json()
    assert told["choices"][0]["message"]["content"] == native["caption"]
    assert told["usage"]["prompt_tokens"] == native["usage"]["prompt_tokens"]


def test_a_stream_names_what_was_ignored_in_its_head(client):
    response = client.post(CHAT, json=chat(stream=True, top_k=1))
    assert response.headers["x-pheye-ignored"] == "top_k"
    assert response.text.endswith("data: [DONE]\n\n")


def test_a_new_field_of_the_openai_client_is_taken(server, expected):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret") as asking:
        raw = asking.chat.completions.with_raw_response.create(
            **chat(),
            verbosity="low",
            reasoning_effort="minimal",
            store=True,
            extra_body={"field_of_tomorrow": {"a": []}},
        )
    assert raw.headers["x-pheye-ignored"] == "field_of_tomorrow,reasoning_effort,store,verbosity"
    assert raw.parse().choices[0].message.content == expected


def test_a_field_without_a_name_is_named_as_that(server):
    sent = chat() | {"": 1, "top_k": 5}
    sent["messages"] = [sent["messages"][0] | {"": 1}]
    answered = httpx.post(f"{server.url}/v1/chat/completions", json=sent, headers={"authorization": "Bearer secret"})
    assert answered.headers["x-pheye-ignored"] == "[no-name],messages[].[no-name],top_k"


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/v1//", "//v1"])
def test_a_base_url_may_lack_the_version_and_have_slashes_to_spare(server, expected, base):
    with openai.OpenAI(base_url=server.url + base, api_key="secret") as asking:
        assert [model.id for model in asking.models.list().data] == ["eye", "gpt-4o-mini", "org/other"]
        assert asking.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
        assert asking.chat.completions.create(**chat()).choices[0].message.content == expected


@pytest.mark.parametrize("path", ["/v1//caption", "/v1/caption/", "//v1/caption//"])
def test_native_routes_are_found_behind_the_same_slashes(server, client, path):
    sent = {"image_url": data_uri(image_file()), "settings": {"max_tokens": 2} | TALKATIVE}
    found = 'pheye_requests_total{endpoint="/v1/caption",status="200"}'
    before = server.metric(found, **KEY)
    assert client.post(server.url + path, json=sent).status_code == 200
    assert server.metric(found, **KEY) == before + 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1//models",
        "//v1/models",
        "/models",
        "/models/eye",
        "//models/",
        "/v1/models/",
        "/v1//images",
        "/%2fv1/models",
    ],
)
def test_no_way_to_write_a_path_gets_round_the_key(server, client, path):
    response = httpx.get(server.url + path)
    assert response.status_code == 401
    assert ("error" in response.json()) == ("models" in path)  # in the shape that the route has
    assert client.get(server.url + path).status_code == 200


def test_no_way_to_write_a_path_gets_round_a_limit():
    with running_server(client_rate="1/hour", name="eye") as server, server.client() as asking:
        assert asking.post(CHAT, json=chat()).status_code == 200
        for path in ("/chat/completions", "//chat//completions/", "/v1//chat/completions"):
            refused = asking.post(server.url + path, json=chat())
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "rate_limited"


@pytest.mark.parametrize(
    "path", ["//metrics", "//livez", "/livez/", "//", "/v2//models", "/model", "/chat/completions/a"]
)
def test_no_other_path_is_rewritten(server, client, path):
    assert client.get(server.url + path).status_code == 404


@pytest.mark.parametrize(
    ("path", "openai"), [("/v1/modelsandmore", False), ("/v1/chat/other", False), ("/v1/models/a/b", True)]
)
def test_the_shape_of_an_error_follows_the_route_and_not_its_first_letters(client, path, openai):
    response = client.get(path)
    assert response.status_code == 404
    assert ("error" in response.json()) == openai


def test_an_alias_is_a_name_on_the_native_routes_too(client):
    sent = {"image_url": data_uri(image_file()), "model": "org/other", "settings": {"max_tokens": 2} | TALKATIVE}
    assert client.post("/v1/caption", json=sent).json()["model"] == "eye"
    assert client.post("/v1/caption", json=sent | {"model": "gpt-4o"}).status_code == 422
    assert client.post(CHAT, json=chat(model="gpt-4o")).status_code == 404


def test_with_strictness_fields_are_refused_and_with_a_star_every_name_is_taken():
    with running_server(strict="1", aliases="*", name="eye") as server, server.client() as asking:
        refused = asking.post(CHAT, json=chat(top_k=1))
        assert refused.status_code == 400
        assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == ("top_k", "invalid_value")
        answered = asking.post(CHAT, json=chat(model="anything/at-all", user="ada"))
        assert answered.json()["model"] == "eye"
        assert answered.headers["x-pheye-ignored"] == "user"
        assert [model["id"] for model in asking.get("/v1/models").json()["data"]] == ["eye"]
        assert asking.get("/v1/models/anything").json()["id"] == "anything"

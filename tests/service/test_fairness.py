"""Fairness of a whole server: one client's flood, another's few requests, and limits by key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.flood import GREEDY, OTHER, flood
from tests.support.serving import ENDLESS, Server, assert_problem, body, running_server, wait_until

KEYS = f"""
[[key]]
name = "greedy"
key = "{GREEDY}"

[[key]]
name = "other"
key = "{OTHER}"

[[key]]
name = "one at a time"
key = "single"
max_concurrent = 1

[[key]]
name = "three in a while"
key = "slow"
rate = "3/30 seconds"

[[key]]
name = "nightly"
key = "nightly-secret"
priority = "bulk"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(KEYS)
    with running_server(keys_file=file, slots=2, max_waiting=8) as server:
        yield server


def by(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def caption(server: Server, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/caption", json=body(), headers=headers, timeout=60.0)


@pytest.mark.parametrize("distinct", [False, True], ids=["one image", "an image for each request"])
def test_a_flood_refuses_nobody_but_the_client_that_makes_it(served: Server, distinct: bool) -> None:
    """More connections than there are places, each asking again at once: the reproduction of a server taken over."""
    seen = asyncio.run(
        flood(served.url, in_flight=14, seconds=3.0, rate=2.0, distinct=distinct, pictures=40, settle_s=1.0)
    )
    assert seen.flooded.statuses.keys() == {200}
    assert seen.greedy.statuses[429] > 0
    # What runs may end first, but not what waits: in order of arrival eight or nine would.
    assert seen.served_before <= 4
    assert served.metric("pheye_request_preemptions_total", **by(OTHER)) > 0


def test_a_key_with_a_limit_has_so_many_requests_under_way_and_is_told_when_to_come_back(served: Server) -> None:
    long = body(stream=True, settings=ENDLESS | {"max_tokens": 600})
    with (
        served.client(headers=by("single")) as client,
        client.stream("POST", "/v1/caption", json=long) as first,
    ):
        assert first.status_code == 200
        for path, asked in (("/v1/caption", body()), ("/v1/estimate", {}), ("/v1/images", body())):
            refused = client.post(path, json=asked)
            problem = assert_problem(refused, 429, "1 of your requests are under way")
            assert problem["type"] == "/errors/too-many-concurrent"
            assert int(refused.headers["retry-after"]) >= 1
        chat = client.post("/v1/chat/completions", json={"messages": []})
        assert chat.status_code == 429
        assert "retry-after" in chat.headers
        assert client.get("/v1/models").status_code == 200
        assert client.get("/metrics").status_code == 200
    wait_until(lambda: caption(served, **by("single")).status_code == 200)
    assert served.metric('pheye_requests_dropped_total{reason="concurrency"}', **by(OTHER)) >= 4


def test_a_key_with_a_rate_limit_is_refused_beyond_it_on_every_route_that_does_work(served: Server) -> None:
    with served.client(headers=by("slow")) as client:
        for _ in range(3):
            assert client.post("/v1/caption", json=body()).status_code == 200
        for path in ("/v1/caption", "/v1/vqa", "/v1/query", "/v1/images", "/v1/estimate"):
            refused = client.post(path, json=body(question="What?"))
            assert_problem(refused, 429, "your limit is 3 per 30 second")
            assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert client.get("/v1/images").status_code == 200
        assert client.get("/readyz").status_code == 200
    assert served.metric('pheye_requests_dropped_total{reason="rate"}', **by(OTHER)) == 5


def test_names_of_keys_and_not_keys_are_what_people_see(served: Server) -> None:
    assert caption(served, **by("nightly-secret")).status_code == 200
    wait_until(lambda: "'nightly'" in served.log)
    assert "127.0.0.1" not in "".join(
        line for line in served.log.splitlines() if "POST" in line and "'nightly'" in line
    )
    assert "nightly-secret" not in served.log + httpx.get(f"{served.url}/metrics", headers=by(OTHER)).text


def test_clients_without_keys_are_counted_by_address() -> None:
    with running_server(client_rate="2/30 seconds", trusted_proxies="127.0.0.1") as server:
        statuses = [
            caption(server, **{"X-Forwarded-For": address}).status_code
            for address in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2")
        ]
    assert statuses == [200, 200, 429, 200]


def test_what_a_proxy_forwards_that_is_no_address_is_no_client_of_its_own() -> None:
    with running_server(client_rate="2/30 seconds", trusted_proxies="127.0.0.1") as server:

        def statuses(*forwarded: str) -> list[int]:
            return [caption(server, **{"X-Forwarded-For": each}).status_code for each in forwarded]

        assert statuses("10.0.0.1:4711", "10.0.0.1:4712", "10.0.0.1") == [200, 200, 429]
        assert statuses("[2001:db8::1]:1", "[2001:db8::1]:2", "2001:db8::1") == [200, 200, 429]
        assert statuses("unknown", "junk", "10.0.0.9, unknown") == [200, 200, 429]


def test_the_access_log_has_the_address_of_a_client_without_a_key() -> None:
    with running_server(trusted_proxies="127.0.0.1") as server:
        caption(server, **{"X-Forwarded-For": "198.51.100.1, [2001:db8::7]:4711"})
        caption(server, **{"X-Forwarded-For": "junk" * 200})
        wait_until(lambda: re.search(r"POST '/v1/caption' 200 \d\.\d{3}s 2001:db8::7\n", server.log))
        wait_until(lambda: re.search(r"POST '/v1/caption' 200 \d\.\d{3}s 127\.0\.0\.1\n", server.log))
        assert "junk" not in server.log

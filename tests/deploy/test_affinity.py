"""Two servers behind nginx and HAProxy that hash on the header of an image: each image lives on one of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping

import httpx
import pytest

from loadtest.client import TimedResponse, open_http, send
from loadtest.mix import PlannedRequest
from service.images import DIGEST_HEADER as HEADER
from tests.support.proxies import PROXIES, program, running_proxy
from tests.support.serving import Server, image_file, running_server

IMAGES = 20
# What docs/scale-out.md says to change in the configurations of deploy/proxy/.
EDITS: Mapping[str, Mapping[str, str]] = {
    "nginx": {"        least_conn;\n": "        hash $image_route consistent;\n"},
    "haproxy": {"    balance leastconn\n": "    balance hdr(X-Pheye-Image-Digest)\n    hash-type consistent\n"},
}


async def asked_twice(url: str, files: list[bytes]) -> list[list[TimedResponse]]:
    """Ask about each image, and once more, by the client of the load test, which sends the header."""
    asks = [PlannedRequest(file, ("What?",), stream=False, max_tokens=1) for file in files]
    async with open_http(url, 1) as http:
        return [[await send(http, ask) for ask in asks] for _ in range(2)]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    for name in PROXIES:
        program(name)
    settings = {"trusted_proxies": "127.0.0.1", "default_max_tokens": 1}
    with running_server(ready=False, **settings) as one, running_server(**settings) as two:
        yield one, two


@pytest.mark.parametrize("name", PROXIES)
def test_the_header_keeps_each_image_on_one_server(
    servers: tuple[Server, Server], name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ports = tuple(int(server.url.rpartition(":")[2]) for server in servers)
    files = [image_file("PNG", (31 + number, 30 + len(name))) for number in range(IMAGES)]
    folder = tmp_path_factory.mktemp("affinity") / name
    before = [server.metric("pheye_image_store_images") for server in servers]
    with (
        running_proxy(name, folder, (ports[0], ports[1]), EDITS[name]) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        ids, headers = [], []
        for file in files:
            headers.append({HEADER: hashlib.sha256(file).hexdigest()})
            made = client.post("/v1/images", files={"image": file}, headers=headers[-1])
            assert (made.status_code, made.headers[HEADER]) == (201, headers[-1][HEADER])
            ids.append(made.json()["id"])
        kept = [client.get(f"/v1/images/{each}", headers=header) for each, header in zip(ids, headers, strict=True)]
        found = sum(response.status_code == 200 for response in kept)
        assert found / IMAGES >= 0.95
        assert client.post("/v1/caption", json={"image_url": ids[0]}, headers=headers[0]).status_code == 200
        files = [image_file("PNG", (61 + number, 30 + len(name))) for number in range(IMAGES)]
        first, second = asyncio.run(asked_twice(url, files))
        assert sum(reply.cached is True for reply in second) / IMAGES >= 0.95
        assert [reply.cached for reply in first] == [False] * IMAGES
        lost = [client.get(f"/v1/images/{each}") for each in ids]
    missing = [response.json()["detail"] for response in lost if response.status_code == 404]
    assert 0.2 * IMAGES <= len(missing) <= 0.8 * IMAGES  # any server, so about a half
    assert all(HEADER in detail for detail in missing)
    after = [server.metric("pheye_image_store_images") for server in servers]
    assert all(now > then for now, then in zip(after, before, strict=True))  # both have their share

"""Requests that are cut off, too large for the disk, or have strange paths, at a service that can write no file."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.serving import RANDOM, START_S, TALKATIVE, assert_problem, body, image_file, wait_until

# Every attempt to write a file or to make a folder fails, in the API process and in all it starts, as on a read-only
# disk without a temporary folder; devices stay what they are, and so does shared memory.
READ_ONLY = """
import errno, os, sys
def refuse(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    path = os.fsdecode(args[0]) if args and isinstance(args[0], (str, bytes, os.PathLike)) else ""
    if (writes or event in ("os.mkdir", "tempfile.mkstemp", "tempfile.mkdtemp")) and not path.startswith("/dev/"):
        if path:
            raise OSError(errno.EROFS, "read-only", path)
sys.addaudithook(refuse)
"""
SERVE = READ_ONLY + (
    "if __name__ == '__main__':\n"
    "    from service.api.server import serve; from service.configuration.settings import load_settings\n"
    "    sys.exit(serve(load_settings()))\n"
)
ROOT = Path(__file__).parents[3]
LARGE = image_file("BMP", (1000, 900))  # 2.7 MB


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("read_only")
    script, log = folder / "serve.py", folder / "log"  # a file: processes that are spawned run it too
    script.write_text(SERVE, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PHEYE_")}
    settings = {"PHEYE_MODEL": RANDOM, "PHEYE_PORT": "0", "PHEYE_THREADS": "1", "PYTHONPATH": str(ROOT)}
    without = {"TMPDIR": "/nowhere", "HOME": "/nowhere"}
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-B", str(script)], env=inherited | settings | without, stderr=said, stdout=said
        )
    try:
        found = wait_until(lambda: re.search(r"listening on (\S+);", log.read_text(encoding="utf-8")), START_S)
        wait_until(lambda: _ready(found[1]), START_S)
        yield str(found[1])
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def test_large_bodies_of_every_kind_need_no_folder_that_can_be_written(url: str) -> None:
    fields = {"settings": json.dumps({"max_tokens": 4} | TALKATIVE)}
    with httpx.Client(base_url=url, timeout=60) as client:
        form = client.post("/v1/caption", data=fields, files={"image": ("a.bmp", LARGE, "image/bmp")})
        raw = client.post("/v1/caption", params=fields, content=LARGE, headers={"content-type": "image/bmp"})
        stored = client.post("/v1/images", files={"image": ("a.bmp", LARGE, "image/bmp")})
        by_id = client.post(
            "/v1/caption", json=body(image_url=stored.json()["id"], settings=json.loads(fields["settings"]))
        )
        assert [form.status_code, raw.status_code, stored.status_code, by_id.status_code] == [200, 200, 201, 200]
        assert form.json()["caption"] == raw.json()["caption"] == by_id.json()["caption"]
        for page in ("/", "/docs", "/openapi.json", "/metrics"):
            assert client.get(page).status_code == 200


def exchange(url: str, head: str, content: bytes, *, cut: bool = False) -> bytes:
    """Send these bytes, and with `cut` close the sending side, as a connection that breaks does; what comes back."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + content)
        if cut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


HEAD = "POST /v1/caption HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {}\r\n"
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="settings"\r\n\r\n{"max_tokens": 4}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image_file() + b"\r\n--b--\r\n"
)
TYPE = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    "left",
    [
        *(pytest.param(len(FORM) - cut, id=f"{cut} bytes short") for cut in (3, 4, 5, 7, 8, 9, 300)),
        *(
            pytest.param(FORM.index(mark), id=name)
            for mark, name in ((b'"image"', "in a header"), (b"max", "in a field"))
        ),
    ],
)
def test_a_form_that_is_cut_off_is_not_taken_for_whole(url: str, left: int) -> None:
    assert httpx.post(f"{url}/v1/caption", content=FORM, headers=TYPE, timeout=60).status_code == 200
    cut = httpx.post(f"{url}/v1/caption", content=FORM[:left], headers=TYPE, timeout=60)
    assert_problem(cut, 400, "body: the form is cut off before its last boundary")


@pytest.mark.parametrize("charset", ["undefined", "punycode", "idna", "utf-16", '"punycode"'])
def test_the_charset_of_a_form_chooses_no_codec(url: str, charset: str) -> None:
    boundary = TYPE["content-type"]
    whole = httpx.post(f"{url}/v1/caption", content=FORM, headers={"content-type": f"{boundary}; charset={charset}"})
    assert whole.status_code == 200, whole.text


@pytest.mark.parametrize("item", ["1", "[]", '"x"', "{}"])
def test_a_flood_of_values_is_refused_before_any_of_them_is_looked_at(url: str, item: str) -> None:
    flood = f'{{"image_url":"x","questions":[{",".join([item] * 1_000_000)}]}}'
    began_s = time.monotonic()
    refused = httpx.post(f"{url}/v1/vqa", content=flood, headers={"content-type": "application/json"}, timeout=60)
    assert_problem(refused, 400, "body: more than the 10000 values that are read")
    assert time.monotonic() - began_s < 3.0  # it took ten


def test_json_that_is_cut_off_is_refused(url: str) -> None:
    whole = json.dumps(body()).encode()
    for left in (1, 30, len(whole) - 1):
        cut = httpx.post(f"{url}/v1/caption", content=whole[:left], headers={"content-type": "application/json"})
        assert_problem(cut, 400, "body: not valid JSON")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        pytest.param("image/bmp", image_file("BMP"), id="image"),
        pytest.param("application/json", json.dumps(body()).encode(), id="json"),
        pytest.param(TYPE["content-type"], FORM, id="form"),
    ],
)
def test_a_body_whose_connection_ends_early_is_never_answered_as_if_it_were_whole(
    url: str, kind: str, content: bytes
) -> None:
    short = HEAD.format(kind) + f"Content-Length: {len(content) + 1}\r\n\r\n"
    unfinished = HEAD.format(kind) + f"Transfer-Encoding: chunked\r\n\r\n{len(content):x}\r\n"
    for head, sent in ((short, content), (unfinished, content), (unfinished, content + b"\r\n")):
        answer = exchange(url, head, sent, cut=True)
        assert not answer.startswith(b"HTTP/1.1 2"), answer
        assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert exchange(url, unfinished, content + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_malformed_head_is_refused_without_a_word_of_it(url: str) -> None:
    answer = exchange(url, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization\0: Bearer sk-secret\r\n\r\n", b"")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"HTTP: a line of the head is no header"' in answer
    assert b"sk-secret" not in answer


SERVED = ("/v1/caption", "/v1/vqa", "/v1/images", "/v1/models", "/livez", "/readyz", "/metrics", "/v1", "/docs", "/")
PARAMETERS = ("/v1/images/img_a", "/v1/models/pheye-micro-random-weights", "/docs/page.html", "/playground/index.html")


@pytest.mark.parametrize("ending", ["%0a", "%0A", "%0d", "%0d%0a", "%00", "%09", "%1b", "%7f", "%c2%85"])
def test_a_path_with_a_control_character_is_no_route(url: str, ending: str) -> None:
    for path in (*SERVED, *PARAMETERS):
        for method in ("GET", "POST", "DELETE"):
            answer = exchange(
                url,
                f"{method} {path}{ending} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                b"",
            )
            assert answer.startswith(b"HTTP/1.1 404 "), (method, path, answer[:80])


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/./caption", "/v1/images/../caption", "/v1/caption/.", "//livez", "/livez/", "//metrics", "/docs/", "//"),
        *("/V1/caption", "/v1/caption%20", "/v1/caption;a", "/livez%2f..", "/%2e%2e/livez"),
        *("/docs/../../app.py", "/docs/..%2f..%2fapp.py", "/docs/%2fetc%2fpasswd", "/docs/" + "a" * 300),
        *("/playground/../docs/page.html", "/playground/..%2f..%2fapp.py", "/playground//etc/passwd"),
        *("/playground/%2e%2e/%2e%2e/app.py", "/playground/" + "a/" * 2000, "/playground/%ff%fe", "/playground/."),
        *("/playground/samples", "/playground/samples/", "/v1/images/%2e%2e", "/v1/models/../caption"),
    ],
)
def test_a_path_that_is_nearly_one_of_ours_is_not_found(url: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = exchange(
            url, f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b""
        )
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 ")), answer[:200]


@pytest.mark.parametrize("name", ["temperature", "top_p", "max_tokens", "seed"])
@pytest.mark.parametrize(
    "number",
    [
        *(
            "5e-324",
            "1e-310",
            "1e-400",
            "-0.0",
            "-5e-324",
            "1e308",
            "1e999",
            "-1e999",
            "NaN",
            "9" * 400,
            "-" + "9" * 400,
        ),
        *("9223372036854775807", "9223372036854775808", "18446744073709551616", "1.0", "0.9999999999999999"),
    ],
)
def test_extreme_numbers_are_answered_or_refused_by_name_on_every_route(url: str, name: str, number: str) -> None:
    image = body()["image_url"]
    chat = [{"role": "user", "content": [
        {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": image}}]}]  # fmt: skip
    limit = {} if name == "max_tokens" else {"max_tokens": 2}
    with httpx.Client(base_url=url, timeout=60, headers={"content-type": "application/json"}) as client:

        def post(path: str, outer: dict[str, object], inner: dict[str, object] | None) -> httpx.Response:
            marked = outer | {"settings": inner | {name: "@"}} if inner is not None else outer | {name: "@"}
            return client.post(path, content=json.dumps(marked).replace('"@"', number))

        answers = [
            post("/v1/caption", {"image_url": image}, limit),
            post("/v1/query", {"image_url": image, "question": "a"}, limit),
            post("/v1/estimate", {"image_url": image}, limit),
            post("/v1/chat/completions", {"messages": chat} | limit, None),
            client.post(
                "/v1/caption",
                params={"settings": json.dumps(limit | {name: "@"}).replace('"@"', number)},
                content=image_file(),
                headers={"content-type": "image/jpeg"},
            ),
        ]
    for answer in answers:
        assert answer.status_code in (200, 400, 422), answer.text
        if answer.status_code != 200:
            assert name in answer.text or "not valid JSON" in answer.text


def test_a_temperature_next_to_zero_gives_the_greedy_answer(url: str) -> None:
    captions = [
        httpx.post(f"{url}/v1/caption", json=body(settings={"max_tokens": 12, "temperature": t, "seed": 1}), timeout=60)
        for t in (0.0, 5e-324, 9e-7)
    ]
    assert len({answer.json()["caption"] for answer in captions}) == 1

"""Fetching one image from servers that do whatever a server can do to who asks it."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import ssl

import pytest
import trustme

from service.configuration.image_hosts import ANY_HOST, HostRules, host_rules
from service.errors import FetchFailed
from service.fetching.fetch import Fetch, FetchLimits
from service.fetching.urls import parse_link
from tests.support.decoders import until
from tests.support.hostile_web import again_and_again, answer, hostile_web, redirect, unused_port
from tests.support.serving import image_file

IMAGE = image_file("PNG")
LIMITS = FetchLimits(max_bytes=100_000, timeout_s=30.0)
SOON = FetchLimits(max_bytes=100_000, timeout_s=0.3)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MAPPED = ipaddress.ip_address("::ffff:127.0.0.1")  # newer versions of Python write it otherwise
NO_TLS = ssl.create_default_context()


def fetched(url: str, rules: HostRules, limits: FetchLimits = LIMITS, tls: ssl.SSLContext = NO_TLS, **names) -> bytes:
    """Fetch with a resolver of our own: `names` has addresses by name; a list has those of each look-up."""

    async def resolve(name: str, port: int) -> list:
        found = names.get(name.replace(".", "_"))
        if found is None:
            raise OSError("no such name")
        return [ipaddress.ip_address(each) for each in (found.pop(0) if isinstance(found, list) else found)]

    return asyncio.run(Fetch(rules, limits, tls, resolve).image(parse_link(url)))


def allowed(web) -> HostRules:
    return host_rules(f"127.0.0.1:{web.port}")


def refusal(url: str, rules: HostRules, limits: FetchLimits = LIMITS, **names) -> FetchFailed:
    with pytest.raises(FetchFailed) as refused:
        fetched(url, rules, limits, **names)
    assert refused.value.status == 422
    assert "secret" not in refused.value.detail
    return refused.value


def test_an_image_comes_as_it_is_whatever_its_host_calls_it():
    with hostile_web({"/image": answer(IMAGE, "Content-Type: text/html")}) as web:
        assert fetched(web.url(), allowed(web)) == IMAGE


def test_a_request_says_what_it_must_and_nothing_of_us():
    with hostile_web({"/image": answer(IMAGE)}) as web:
        fetched(web.url("/image?size=1&sig=a%2Bb"), allowed(web))
        line, *headers = web.heads[0].decode().strip().split("\r\n")
    assert line == "GET /image?size=1&sig=a%2Bb HTTP/1.1"
    names = [header.partition(":")[0] for header in headers]
    assert names == ["Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"]
    assert f"Host: 127.0.0.1:{web.port}" in headers
    assert "Accept-Encoding: identity" in headers


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(IMAGE), IMAGE), id="chunked"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + IMAGE, id="until-the-end"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(IMAGE), id="after-early-hints"),
        pytest.param(answer(IMAGE, "Content-Encoding: identity"), id="identity"),
        pytest.param(answer(IMAGE, "X-Long: " + "x" * 10_000), id="a-long-header"),
    ],
)
def test_whatever_http_allows_is_taken(whole):
    with hostile_web({"/image": whole}) as web:
        assert fetched(web.url(), allowed(web)) == IMAGE


def test_redirects_are_followed_without_cookies_to_allowed_places():
    answers = {
        "/image": redirect("b", "Set-Cookie: a=b; Path=/", status="301 Moved Permanently"),
        "/b": redirect("/c?d", status="307 Temporary Redirect"),
        "/c": answer(IMAGE),
    }
    with hostile_web(answers) as web:
        assert fetched(web.url(), allowed(web)) == IMAGE
        assert web.paths == ["/image", "/b", "/c?d"]
        assert not [head for head in web.heads if b"cookie" in head.lower()]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://10.0.0.1/secret", "image_url: 10.0.0.1: this host is not allowed; PHEYE_IMAGE_HOSTS"),
        ("http://169.254.169.254/latest/meta-data/secret", "image_url: 169.254.169.254: this host is not allowed"),
        ("http://127.0.0.1:1/", "image_url: 127.0.0.1: port 1 is not allowed"),
        ("http://[::1]/", "image_url: ::1: this host is not allowed"),
        ("http://[::ffff:127.0.0.1]/", f"image_url: {MAPPED}: this host is not allowed"),
        ("http://private.example/", "image_url: private.example: this host is not allowed"),
        ("http://inside.listed.example/", "image_url: inside.listed.example: it resolves to an address that is not"),
        ("http://user:secret@127.0.0.1/", "image_url: 127.0.0.1: its redirect: no user and no password"),
        ("file:///secret", "image_url: 127.0.0.1: its redirect: not an http(s) URL"),
        ("http://0x7f.1/", "image_url: 127.0.0.1: its redirect: a number for a host"),
    ],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_url(location, words):
    with hostile_web({"/image": redirect(location)}) as web:
        rules = host_rules(f"127.0.0.1:{web.port}, *.listed.example")
        error = refusal(web.url(), rules, inside_listed_example=("10.0.0.1",), private_example=("127.0.0.1",))
    assert words in error.detail
    assert error.outcome == "refused"


def test_redirects_end_even_in_a_circle():
    with hostile_web({"/image": redirect("/image?secret")}) as web:
        error = refusal(web.url(), allowed(web))
        assert len(web.heads) == 6
    assert (error.detail, error.outcome) == ("image_url: 127.0.0.1: more than 5 redirects", "failed")


def test_a_name_is_resolved_once_and_that_address_is_connected_to():
    with hostile_web({"/image": answer(IMAGE)}, address="127.0.0.2") as web:
        rules, answers = host_rules(f"files.example:{web.port}, 127.0.0.2"), [["127.0.0.2"], ["127.0.0.1"]]
        assert fetched(web.url(host="files.example"), rules, files_example=answers) == IMAGE
        assert f"Host: files.example:{web.port}\r\n".encode() in web.heads[0]
    assert answers == [["127.0.0.1"]]  # what it would have been at the next look-up


def test_a_name_with_another_address_a_moment_later_gains_nothing():
    with hostile_web({"/image": redirect("/private")}, address="127.0.0.2") as web:
        rules, answers = host_rules(f"files.example:{web.port}, 127.0.0.2"), [["127.0.0.2"], ["127.0.0.1"]]
        error = refusal(web.url(host="files.example"), rules, files_example=answers)
        assert web.paths == ["/image"]
    assert (
        "files.example: it resolves to an address that is not public; have PHEYE_IMAGE_HOSTS list that" in error.detail
    )
    assert "127.0.0" not in error.detail


def test_localhost_is_fetched_from_where_it_is_listed_itself():
    with hostile_web({"/image": answer(IMAGE)}) as web:
        assert (
            fetched(web.url(host="localhost"), host_rules(f"localhost:{web.port}"), localhost=("127.0.0.1",)) == IMAGE
        )
        error = refusal(web.url(host="localhost"), host_rules(f"*:{web.port}"), localhost=("127.0.0.1",))
    assert "localhost: it resolves to an address that is not public; have PHEYE_IMAGE_HOSTS list" in error.detail


@pytest.mark.parametrize(
    "hidden", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "100.64.0.1", "fe80::1"]
)
def test_one_address_that_is_not_public_among_several_is_enough(hidden):
    with hostile_web({"/image": answer(IMAGE)}) as web:
        rules = host_rules(f"files.example:{web.port}, 127.0.0.3")
        error = refusal(web.url(host="files.example"), rules, files_example=("127.0.0.3", hidden))
        assert error.outcome == "refused"
        assert not web.heads


def test_an_address_that_nobody_listens_at_is_passed_over():
    with hostile_web({"/image": answer(IMAGE)}) as web:
        rules = host_rules(f"files.example:{web.port}, 127.0.0.0/8")
        assert fetched(web.url(host="files.example"), rules, files_example=("127.0.0.9", "127.0.0.1")) == IMAGE


HEAD = b"HTTP/1.1 200 OK\r\n"
FAILED = {
    "404": (answer(b"secret", status="404 Not Found"), "it answered 404 instead of an image"),
    "500": (answer(b"secret", status="500 Oh"), "it answered 500"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "it answered 204"),
    "redirect-to-nowhere": (answer(b"", status="302 Found"), "it answered 302"),
    "less-than-its-length": (answer(IMAGE, length=len(IMAGE) + 1), "broke off"),
    "two-lengths": (answer(IMAGE, "Content-Length: 5"), "not what HTTP allows"),
    "no-number": (HEAD + b"Content-Length: many\r\n\r\n" + IMAGE, "not what HTTP allows"),
    "cut-chunks": (CHUNKED + b"%x\r\n%b\r\n" % (len(IMAGE), IMAGE), "broke off"),
    "cut-chunk": (CHUNKED + b"ffff\r\n" + IMAGE, "broke off"),
    "bad-chunk": (CHUNKED + b"what?\r\n" + IMAGE, "not what HTTP allows"),
    "no-answer": (b"", "broke off"),
    "half-a-head": (HEAD + b"Content-", "broke off"),
    "no-http": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not what HTTP allows"),
    "huge-header": (HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n" + IMAGE, "not what HTTP allows"),
    "many-headers": (HEAD + b"a: b\r\n" * 20_000 + b"\r\n" + IMAGE, "not what HTTP allows"),
    "hints-for-ever": (again_and_again(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), "not what HTTP allows"),
    "one-byte-chunks": (
        again_and_again(CHUNKED + b"8\r\n\x89PNG\r\n\x1a\n\r\n", b"1\r\nx\r\n" * 1000),
        "too many pieces",
    ),
    "bomb": (answer(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"), "encoding that was not asked for"),
    "transfer-bomb": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + IMAGE, "not what HTTP allows"),
}


@pytest.mark.parametrize(("sent", "words"), FAILED.values(), ids=FAILED.keys())
def test_an_answer_that_is_no_image_is_told_by_host_and_reason(sent, words):
    with hostile_web({"/secret": sent}) as web:
        error = refusal(web.url("/secret"), allowed(web), FetchLimits(max_bytes=1_000_000, timeout_s=30.0))
    assert error.detail.startswith("image_url: 127.0.0.1: ")
    assert words in error.detail
    assert error.outcome == "failed"


@pytest.mark.parametrize(
    "body", [b"<!doctype html><p>Log in</p>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"", b"\x89PN", b"%PDF-1.7"]
)
def test_what_is_no_image_by_its_first_bytes_is_refused(body):
    with hostile_web({"/image": answer(body, "Content-Type: image/png")}) as web:
        assert refusal(web.url(), allowed(web)).outcome == "no_image"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(answer(IMAGE, length=LIMITS.max_bytes + 1), id="says-so"),
        pytest.param(answer(IMAGE, length=10**19), id="says-a-lot"),
        pytest.param(again_and_again(b"HTTP/1.1 200 OK\r\n\r\n" + IMAGE, bytes(10_000)), id="without-end"),
        pytest.param(
            again_and_again(CHUNKED, b"2710\r\n" + IMAGE[:8] + bytes(9992) + b"\r\n"), id="chunks-without-end"
        ),
    ],
)
def test_an_image_that_is_too_large_is_read_no_further(sent):
    with hostile_web({"/image": sent}) as web:
        error = refusal(web.url(), allowed(web))
    assert (error.outcome, "more than the 100000 bytes allowed" in error.detail) == ("too_large", True)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(None, id="nothing"),
        pytest.param(again_and_again(b"", b"H", 0.02), id="head-drips"),
        pytest.param(again_and_again(answer(IMAGE, length=90_000), b"x", 0.02), id="body-drips"),
        pytest.param(again_and_again(CHUNKED + b"c\r\n" + IMAGE[:12] + b"\r\n", b"1\r\nx\r\n", 0.02), id="chunks-drip"),
    ],
)
def test_the_time_is_for_all_of_it_and_not_for_each_read(sent):
    with hostile_web({"/image": sent} if sent else {}) as web:
        error = refusal(web.url(), allowed(web), SOON)
    assert error.detail == "image_url: 127.0.0.1: it did not send the image within 0.3 s"
    assert error.outcome == "timeout"


def test_a_host_that_cannot_be_reached_is_told():
    port = unused_port()
    error = refusal(f"http://127.0.0.1:{port}/secret", host_rules(f"127.0.0.1:{port}"))
    assert (error.detail, error.outcome) == (f"image_url: 127.0.0.1: no connection to port {port}", "unreachable")
    error = refusal("http://nowhere.example/secret", host_rules("*"))
    assert error.detail == "image_url: nowhere.example: there is no such host, or its name cannot be resolved now"


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    with hostile_web({"/image": answer(IMAGE)}) as web, hostile_web({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert fetched(web.url(), allowed(web)) == IMAGE
        assert not proxy.heads


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(
    ("name", "known", "outcome"),
    [("files.example", True, None), ("other.example", True, "unreachable"), ("files.example", False, "unreachable")],
    ids=["good", "of-another-name", "of-an-unknown-authority"],
)
def test_tls_is_with_the_name_though_the_connection_is_to_the_address(authority, name, known, outcome):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    if known:
        authority.configure_trust(client)
    with hostile_web({"/image": answer(IMAGE)}, tls=server) as web:
        url, rules = f"https://files.example:{web.port}/image", host_rules(f"files.example:{web.port}, 127.0.0.1")
        if outcome is None:
            assert fetched(url, rules, tls=client, files_example=("127.0.0.1",)) == IMAGE
            return
        with pytest.raises(FetchFailed, match=r"files\.example: no TLS connection") as refused:
            fetched(url, rules, tls=client, files_example=("127.0.0.1",))
    assert refused.value.outcome == outcome


def test_a_host_that_speaks_no_tls_is_told():
    with hostile_web({"/image": answer(IMAGE)}) as web:
        error = refusal(web.url().replace("http:", "https:"), allowed(web))
    assert "127.0.0.1: no TLS connection" in error.detail


def test_a_fetch_that_is_cancelled_closes_its_connection():
    async def cancelled() -> None:
        fetch = asyncio.create_task(Fetch(ANY_HOST, LIMITS, NO_TLS).image(parse_link(web.url())))
        await until(lambda: web.heads)
        fetch.cancel()
        await asyncio.gather(fetch, return_exceptions=True)

    with hostile_web({}) as web:
        asyncio.run(cancelled())
        assert web.left.wait(30)


def test_the_user_of_a_command_may_name_any_host():
    with hostile_web({"/image": answer(IMAGE)}) as web:
        assert fetched(web.url(), ANY_HOST) == IMAGE

"""The client behind trusted proxies: what `X-Forwarded-For` may say, and what is not believed."""

from __future__ import annotations

import asyncio

import pytest

from service.api.edge.forwarded import MOST_HOPS, ForwardedHeaders, TrustedProxies, address_in

PROXIES = TrustedProxies("10.0.0.0/8,2001:db8:ffff::/48")
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
        ("fe80::1%\x07eth0", "fe80::1"),
        ("unknown", None),
        ("", None),
        ("_hidden", None),
        ("203.0.113", None),
        ("203.0.113.7:port", None),
        ("203.0.113.7:123456", None),
        ("[2001:db8::1", None),
        ("[203.0.113.7", None),
        ("203.0.113.7/24", None),
        ("example.org:80", None),
        ("x" * 10_000, None),
    ],
)
def test_an_entry_is_an_address_with_or_without_a_port_or_nothing(text, address):
    found = address_in(text)
    assert (found and str(found)) == address


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", id="one"),
        pytest.param("198.51.100.1, 203.0.113.7", "203.0.113.7", id="made-up-before-the-real-one"),
        pytest.param("unknown, 203.0.113.7", "203.0.113.7", id="junk-before-the-real-one"),
        pytest.param("203.0.113.7:1234, 10.1.1.1:80", "203.0.113.7", id="ports"),
        pytest.param("[2001:db8::1]:443,2001:db8:ffff::2", "2001:db8::1", id="ipv6"),
        pytest.param("10.9.9.9, 10.1.1.1", "10.9.9.9", id="proxies-only"),
        pytest.param("", PEER, id="empty"),
        pytest.param(" , ,", PEER, id="empty-entries"),
        pytest.param("203.0.113.7,,", "203.0.113.7", id="an-empty-entry-at-the-end"),
        pytest.param("unknown", PEER, id="unknown"),
        pytest.param("\x07junk" * 500, PEER, id="junk"),
        pytest.param("203.0.113.7, unknown", PEER, id="made-up-by-somebody-unknown"),
        pytest.param("203.0.113.7, unknown, 10.1.1.1", "10.1.1.1", id="unknown-behind-a-second-proxy"),
        pytest.param("203.0.113.7" + ", 10.1.1.1" * MOST_HOPS, "10.1.1.1", id="too-many-hops"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_proxy_and_never_a_word(forwarded, client):
    assert PROXIES.client_behind(PEER, forwarded) == client


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.0.0.1", False), ("2001:db8:ffff::9", True), ("", False)],
)
def test_a_proxy_is_trusted_by_its_address(host, trusted):
    assert (host in PROXIES) == trusted
    assert host not in TrustedProxies("")


def seen(peer: str, *headers: tuple[bytes, bytes]) -> tuple[str, str]:
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    scope = {"type": "http", "client": (peer, 5), "scheme": "http", "headers": list(headers)}
    asyncio.run(ForwardedHeaders(app, PROXIES)(scope, None, None))
    return scopes[0]["client"][0], scopes[0]["scheme"]


def test_only_a_trusted_proxy_is_believed():
    headers = (b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")
    assert seen("192.0.2.1", *headers) == ("192.0.2.1", "http")
    assert seen(PEER, *headers) == ("203.0.113.7", "https")


def test_headers_that_come_twice_are_one_list_and_an_odd_scheme_is_none():
    headers = (
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"x-forwarded-for", b"203.0.113.7, 10.0.0.2"),
        (b"x-forwarded-proto", b"gopher"),
    )
    assert seen(PEER, *headers) == ("203.0.113.7", "http")

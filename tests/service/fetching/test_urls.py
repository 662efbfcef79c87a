"""URLs of images: what is read of them, and every trick that would make two readers see two hosts."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.configuration.image_hosts import normal_host
from service.errors import FetchFailed
from service.fetching.urls import MAX_URL_CHARS, looks_like_link, parse_link


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://example.org/a.png", "https://example.org/a.png"),
        ("HTTP://EXAMPLE.org", "http://example.org/"),
        (" https://example.org/a\n", "https://example.org/a"),
        ("https://example.org:443/", "https://example.org/"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("https://example.org:/", "https://example.org/"),
        ("https://example.org?x=1", "https://example.org/?x=1"),
        ("https://example.org/a?x=/../@y:z#part", "https://example.org/a?x=/../@y:z"),
        ("https://example.org/%C3%A9?sig=a%2Bb%3D&t=1", "https://example.org/%C3%A9?sig=a%2Bb%3D&t=1"),
        ("https://example.org/é.png", "https://example.org/%C3%A9.png"),
        ("https://bücher.example./a", "https://xn--bcher-kva.example/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
    ],
)
def test_a_url_is_read_in_one_way(url, read):
    assert looks_like_link(url)
    assert str(parse_link(url)) == read


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://user@example.org/", "no user"),
        ("http://user:secret@example.org/", "no user"),
        ("http://example.org@127.0.0.1/", "no user"),
        ("http://example.org%40127.0.0.1/", "host"),
        ("http://example.org\\@127.0.0.1/", "not an http"),
        ("http://example.org\\.evil.example/", "not an http"),
        ("http://exam\tple.org/", "not an http"),
        ("http://example.org/a b", "not an http"),
        ("http://example.org/\r\nHost: evil.example", "not an http"),
        ("http:///etc/passwd", "not an http"),
        ("http:example.org", "not an http"),
        ("http:/example.org", "not an http"),
        ("https:", "not an http"),
        ("http://?a", "not an http"),
        ("http://:80/", "not an http"),
        ("http://a:b/", "not an http"),
        ("http://a:1:2/", "not an http"),
        ("http://a:0/", "no such port"),
        ("http://a:65536/", "no such port"),
        ("http://a:+80/", "not an http"),
        ("http://a:\u0668\u0660/", "not an http"),
        ("http://0x7f.1/", "number"),
        ("http://2130706433/", "number"),
        ("http://0177.0.0.1/", "number"),
        ("http://127.1/", "number"),
        ("http://[::1/", "not an http"),
        ("http://[::1]evil.example/", "not an http"),
        ("http://[fe80::1%25eth0]/", "IPv6"),
        ("http://[v1.a]/", "IPv6"),
        ("http://a..b/", "host"),
        ("http://" + "a" * MAX_URL_CHARS, "characters"),
        ("http://" + "ü" * 2000 + "/", "host"),
        ("http://a/\ud800", "not an http"),
        ("http://\ud800/", "not an http"),
    ],
)  # fmt: skip
def test_a_url_that_could_be_read_in_two_ways_is_refused_and_never_repeated(url, reason):
    with pytest.raises(FetchFailed, match=f"^image_url: .*{reason}") as refused:
        parse_link(url)
    assert "secret" not in refused.value.detail
    assert "passwd" not in refused.value.detail


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("b.png", "https://example.org/x/b.png"),
        ("/b.png", "https://example.org/b.png"),
        ("../../../b.png", "https://example.org/b.png"),
        ("?q=2", "https://example.org/x/a.png?q=2"),
        ("//other.example/b", "https://other.example/b"),
        ("http://other.example/b", "http://other.example/b"),
        ("#part", "https://example.org/x/a.png?q=1"),
        ("é", "https://example.org/x/%C3%A9"),
    ],
)
def test_a_redirect_leads_where_a_browser_would_go(location, leads_to):
    assert str(parse_link("https://example.org/x/a.png?q=1").followed(location)) == leads_to


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "gopher://a/", "data:image/png;base64,AAAA", "//u@a/", "//[::1/"]
)
def test_a_redirect_to_something_else_than_the_web_is_refused(location):
    with pytest.raises(FetchFailed):
        parse_link("https://example.org/").followed(location)


@pytest.mark.parametrize("text", ["", "data:image/png;base64,AAAA", "img_0", "ftp://a/b", "httpd", "/9j/http://"])
def test_other_texts_are_no_links(text):
    assert not looks_like_link(text)


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-zA-Z0-9.:@\[\]%\\/?#_é。-]{0,30}", fullmatch=True))
def test_whatever_is_sent_is_refused_or_read_as_other_clients_read_it(text):
    link, detail = None, "image_url: "
    try:
        link = parse_link(text)
    except FetchFailed as refused:
        detail = refused.detail
    assert detail.startswith("image_url: ")
    if link is None:
        return
    assert parse_link(str(link)) == link
    for other in (httpx.URL(str(link)), httpx.URL(text.strip())):
        host = other.raw_host.decode()
        assert normal_host(f"[{host}]" if ":" in host else host) == link.host
        assert (other.scheme, other.userinfo) == (link.scheme, b"")
        assert (other.port or {"http": 80, "https": 443}[other.scheme]) == link.port

"""Framing: what another server might read otherwise is refused, and tiny chunks are bounded."""

from __future__ import annotations

import time

import h11
import pytest

from service.api.connections.framing import (
    EVENTS_PER_TURN,
    FREE_CHUNKS,
    MAX_HEAD_BYTES,
    MAX_PIPELINED_BYTES,
    MIN_CHUNK_BYTES,
    NOT_HTTP,
    StrictConnection,
    in_own_words,
)

POST = b"POST /v1/caption HTTP/1.1\r\nHost: a\r\n"


def test_a_chunked_body_is_read_however_it_is_cut_into_pieces() -> None:
    whole = POST + b"Transfer-Encoding: chunked\r\n\r\n3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    for pieces in ([whole], [whole[place : place + 1] for place in range(len(whole))]):
        request, *parts, end = [event for event in events(*pieces) if event is not h11.PAUSED]
        assert type(request) is h11.Request
        assert b"".join(part.data for part in parts) == b"abc0123456789"
        assert sum(part.chunk_start for part in parts) == sum(part.chunk_end for part in parts) == 2
        assert type(end) is h11.EndOfMessage


def events(*pieces: bytes) -> list[object]:
    """Everything that the connection makes of some bytes, each piece in a turn of its own."""
    connection, seen = StrictConnection(), []
    for piece in pieces:
        connection.receive_data(piece)
        connection.budget = EVENTS_PER_TURN
        while (event := connection.next_event()) is not h11.NEED_DATA:
            seen.append(event)
            if event is h11.PAUSED:
                break
    return seen


def test_a_long_head_that_comes_byte_by_byte_takes_no_second_of_the_event_loop() -> None:
    head = POST + b"X: " + b"a" * (MAX_HEAD_BYTES - 100)
    began_s = time.process_time()
    assert events(*(head[place : place + 1] for place in range(len(head)))) == []
    assert time.process_time() - began_s < 0.8


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="both-lengths"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400, id="both-the-other-way"),
        pytest.param(POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, id="length-twice"),
        pytest.param(POST + b"Content-Length: 5, 5\r\n\r\n", 400, id="length-list"),
        pytest.param(POST + b"Content-Length: 5\r\ncontent-length : 5\r\n\r\n", 400, id="length-with-a-space"),
        pytest.param(POST + b"Content-Length: +5\r\n\r\n", 400, id="length-with-a-sign"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, id="two-codings"),
        pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400, id="vertical-tab"),
        pytest.param(POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n", 400, id="folded"),
        pytest.param(POST + b"Transfer-Encoding : chunked\r\n\r\n", 400, id="space-before-the-colon"),
        pytest.param(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="coding-in-1.0"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", 400, id="bare-line-feeds"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, id="one-bare-line-feed"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 3\r\n\r\n", 400, id="bare-return"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two-hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no-host"),
        pytest.param(b"GET http:///livez HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="address-without-a-host"),
        pytest.param(b"GET http://me:pw@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="address-with-a-user"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, id="version"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * 100 + b"\r\n", 431, id="many-headers"),
        pytest.param(b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, id="long-and-complete"),
        pytest.param(b"GET /" + b"a" * (MAX_HEAD_BYTES + 1), 431, id="long-and-not"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nz\r\n", 400, id="chunk-size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400, id="chunk-end"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n", 400, id="space-behind-the-size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\nab\r\n", 400, id="return-in-an-extension"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\nGET /\r\n", 400, id="line-feed-at-the-end"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 400, id="trailer"),
    ],
)
def test_what_is_ambiguous_or_too_much_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(h11.RemoteProtocolError) as refused:
        events(head)
    assert refused.value.error_status_hint == status


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (POST + b"Authorization\0: Bearer sk-secret\r\n\r\n", "a line of the head is no header"),
        (POST + b"Authorization : sk-secret\r\n\r\n", "a line of the head is no header"),
        (POST + b"Authorization: sk-secret\0\r\n\r\n", "a line of the head is no header"),
        (POST + b"sk-secret\r\n\r\n", "a line of the head is no header"),
        (b"GET /?key=sk-secret \0 HTTP/1.1\r\nHost: a\r\n\r\n", "the request line is malformed"),
        (b"sk-secret\r\n\r\n", "the request line is malformed"),
        (b"\x16\x03\x01sk-secret", "the request line is malformed"),
        (POST + b"Content-Length: sk-secret\r\n\r\n", "Content-Length is no number of bytes"),
        (POST + b"Transfer-Encoding: sk-secret\r\n\r\n", "of Transfer-Encoding only chunked is taken"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nsk-secret\r\n", "the head of a chunk is malformed"),
        (b"GET / HTTP/1.1\r\nX: sk-secret\r\n\r\n", "the header Host is missing"),
    ],
)
def test_why_it_was_refused_is_a_fixed_sentence_that_repeats_nothing(head: bytes, words: str) -> None:
    connection = StrictConnection()
    connection.receive_data(head)
    with pytest.raises(h11.RemoteProtocolError):
        list(iter(connection.next_event, h11.NEED_DATA))
    assert str(connection.error) == words


def test_what_h11_may_say_one_day_is_not_repeated_either() -> None:
    told = in_own_words(h11.RemoteProtocolError("something new: b'sk-secret'", error_status_hint=413))
    assert (str(told), told.error_status_hint) == (NOT_HTTP, 413)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="plain"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="old"),
        pytest.param(POST + b"content-length: 2\r\n\r\nab", id="length"),
        pytest.param(POST + b"Transfer-Encoding: Chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", id="whole-address"),
        pytest.param(POST + b"X-Content-Length: 1\r\nX: \r\n\r\n", id="similar-name"),
    ],
)
@pytest.mark.parametrize("dripped", [False, True], ids=["whole", "byte-by-byte"])
def test_ordinary_requests_are_read(request_bytes: bytes, dripped: bool) -> None:
    pieces = [request_bytes[i : i + 1] for i in range(len(request_bytes))] if dripped else [request_bytes]
    assert type(events(*pieces)[-1]) is h11.EndOfMessage


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"/livez?a=http://b/", b"/livez?a=http://b/", b"a"),
        (b"http://b:80/livez?x=1", b"/livez?x=1", b"b:80"),
        (b"HTTPS://[::1]:8000", b"/", b"[::1]:8000"),
        (b"http://b?x=1", b"/?x=1", b"b"),
        (b"http://b//v1", b"//v1", b"b"),
        (b"*", b"*", b"a"),
    ],
)
def test_the_whole_address_of_a_request_is_taken_for_its_path_and_its_host(
    target: bytes, path: bytes, host: bytes
) -> None:
    for before in (b"", b"X: y\r\n"):
        request = events(b"GET " + target + b" HTTP/1.1\r\n" + before + b"Host: a\r\nY: z\r\n\r\n")[0]
        assert isinstance(request, h11.Request)
        assert (request.target, dict(request.headers)[b"host"]) == (path, host)


def chunks(count: int, size: int) -> list[bytes]:
    one = b"%x\r\n" % size + b"a" * size + b"\r\n"
    return [POST + b"Transfer-Encoding: chunked\r\n\r\n", *[one * 100] * (count // 100)]


def test_some_tiny_chunks_are_taken_and_a_flood_of_them_is_refused() -> None:
    assert len(events(*chunks(FREE_CHUNKS // 100 * 100, 1))) > FREE_CHUNKS // 100 * 100
    with pytest.raises(h11.RemoteProtocolError, match="larger"):
        events(*chunks(FREE_CHUNKS + 200, 1))
    assert len(events(*chunks(6000, MIN_CHUNK_BYTES))) > 6000


def test_no_turn_of_the_event_loop_takes_more_parts_of_a_body_than_its_budget() -> None:
    connection = StrictConnection()
    connection.receive_data(b"".join(chunks(1000, 8)))
    turns = 0
    while True:
        connection.budget, taken = EVENTS_PER_TURN, 0
        while connection.next_event() is not h11.NEED_DATA:
            taken += 1
        turns += 1
        assert taken <= EVENTS_PER_TURN + 1  # the head
        if not connection.unread:
            break
    assert turns == 4


def test_later_requests_are_read_ahead_only_so_far() -> None:
    connection, one = StrictConnection(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    connection.receive_data(one * 2)
    while connection.next_event() is not h11.PAUSED:
        pass
    assert not connection.unread
    connection.receive_data(one * (MAX_PIPELINED_BYTES // len(one) + 1))
    assert connection.next_event() is h11.PAUSED
    assert connection.unread


def test_the_last_answer_says_that_it_is_the_last() -> None:
    connection = StrictConnection()
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.next_event()
    connection.last = True
    made = connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    assert b"connection: close\r\n" in made.lower()
    assert connection.sent_bytes == len(made)


def test_an_answer_has_the_words_it_is_given_in_its_status_line() -> None:
    connection = StrictConnection()
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.next_event()
    connection.reason_of = lambda: b"come back in 3 s"
    connection.last = True
    head = connection.send(h11.Response(status_code=429, headers=[(b"retry-after", b"3")], reason=b"Too Many Requests"))
    assert head.startswith(b"HTTP/1.1 429 come back in 3 s\r\n")
    assert b"connection: close" in head.lower()

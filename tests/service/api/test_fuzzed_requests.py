"""Arbitrary bytes to every route: each request has one answer, no failure of ours, that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuzzed_requests import KEY, Application, FuzzedRequest, check, fuzz, pieces_of, requests
from tests.support.serving import body, image_file

RUNS = 600
WITHOUT_HEALTH_CHECKS = settings(max_examples=RUNS, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=[False, True], ids=["open", "with keys"])
def application(request: pytest.FixtureRequest) -> Application:
    return Application(keyed=request.param)


@WITHOUT_HEALTH_CHECKS
@given(request=requests())
def test_no_bytes_break_the_service(application: Application, request: FuzzedRequest) -> None:
    check(application, request)


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="length"\r\n\r\nshort\r\n'
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image_file() + b"\r\n--b--\r\n"
)
WHOLE = {
    "json": (b"application/json", json.dumps(body()).encode()),
    "form": (b"multipart/form-data; boundary=b", FORM),
    "image": (b"image/jpeg", image_file()),
}


@settings(max_examples=100)
@given(data=st.data())
@pytest.mark.parametrize("kind", WHOLE)
def test_a_right_request_is_taken_in_whatever_pieces_it_comes(kind: str, data: st.DataObject) -> None:
    content_type, content = WHOLE[kind]
    pieces = data.draw(pieces_of(content))
    assert check(OPEN, FuzzedRequest("POST", "/v1/caption", b"", ((b"content-type", content_type),), pieces)) == 503


OPEN = Application(keyed=False)


@pytest.mark.parametrize(
    "make",
    [lambda key: (b"authorization", b"Bearer " + key), lambda key: (b"x-moondream-auth", key)],
    ids=["bearer", "moondream"],
)
@settings(max_examples=300)
@given(key=st.binary(max_size=30))
def test_no_key_but_the_right_one_opens(make: Callable[[bytes], tuple[bytes, bytes]], key: bytes) -> None:
    keyed = FuzzedRequest("GET", "/v1", b"", (make(key),), ())
    assert check(KEYED, keyed) == (200 if key.strip() == KEY.encode() else 401)


KEYED = Application(keyed=True)


def test_the_long_run_counts_what_it_sent() -> None:
    assert fuzz(minutes=0.001, examples=10) >= 10


@pytest.mark.parametrize("value", [b"", b"bytes=5-2", b"bytes=" + b"0-," * 1000, b"bytes=9999999-"])
def test_a_page_is_sent_whole_whatever_range_is_asked_for(value: bytes) -> None:
    assert check(OPEN, FuzzedRequest("GET", "/", b"", ((b"range", value),), ())) == 200

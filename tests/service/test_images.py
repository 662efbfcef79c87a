"""Images as they arrive: which data URIs are taken."""

from __future__ import annotations

import pytest

from service.errors import BadRequest
from service.images import check_data_uri


@pytest.mark.parametrize(
    "uri",
    ["", "abc", "data:image/png,abc", "data:image/png;base64", "file:///etc/passwd", " data:image/png;base64,aaaa"],
    ids=["empty", "bare-base64", "not-base64", "no-comma", "file", "leading-space"],
)
def test_what_is_not_a_base64_data_uri_is_refused(uri):
    with pytest.raises(BadRequest, match="image_url: not a base64 data URI"):
        check_data_uri(uri)


@pytest.mark.parametrize("url", ["http://example.org/a.jpg", "HTTPS://example.org/a.jpg"])
def test_a_link_is_refused_with_what_to_do_instead(url):
    with pytest.raises(BadRequest, match="fetching URLs is off; send a data URI or upload"):
        check_data_uri(url)


@pytest.mark.parametrize(
    "head",
    ["data:;base64,", "data:image/jpeg;base64,", "DATA:image/x;charset=utf-8;BASE64,"],
    ids=["bare", "plain", "odd"],
)
def test_any_base64_data_uri_is_taken(head):
    assert check_data_uri(head + "aaaa").file_bytes() == b"i\xa6\x9a"

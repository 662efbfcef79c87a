"""Images as they arrive: which texts are taken for one, and what is made of their base64."""

from __future__ import annotations

import base64
import textwrap
from io import BytesIO
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.errors import BadRequest
from service.images import ImageSource, check_image_text, starts_like_image
from tests.support.serving import image_file

FILE = image_file("PNG") + b"\n"
TEXT = base64.b64encode(FILE).decode()
URL_SAFE = base64.urlsafe_b64encode(FILE).decode()
assert set("+/=") <= set(TEXT)  # so that each way of writing them matters

WRITTEN = {
    "plain": TEXT,
    "line-feeds": base64.encodebytes(FILE).decode(),
    "network-lines": "\r\n".join(textwrap.wrap(TEXT, 76)) + "\r\n",
    "spaces-and-tabs": " \t".join(textwrap.wrap(TEXT, 64)),
    "unpadded": TEXT.rstrip("="),
    "url-safe": URL_SAFE,
    "url-safe-unpadded": URL_SAFE.rstrip("="),
    "both-alphabets": TEXT.replace("+", "-"),
    "percent-encoded": quote(TEXT, safe=""),
    "percent-encoded-in-lower-case": quote(TEXT, safe="").replace("%2B", "%2b").replace("%3D", "%3d"),
    "behind-a-line-break": "\n" + TEXT,
}
HEADS = {
    "bare": "",
    "usual": "data:image/png;base64,",
    "without-type": "data:;base64,",
    "upper-case": "DATA:IMAGE/PNG;BASE64,",
    "charset": "data:image/png;charset=utf-8;base64,",
    "parameters": 'data:image/png;name="a.png";charset=US-ASCII;base64,',
    "wrong-type": "data:text/html;base64,",
    "blanks": " data:image/png; base64, ",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_base64_is_taken_however_it_is_written(head, written):
    assert check_image_text(head + written).file_bytes() == FILE


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_is_known_by_its_first_bytes(form):
    file = BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, form)
    assert starts_like_image(file.getvalue()[:12])
    assert check_image_text(base64.b64encode(file.getvalue()).decode()).file_bytes() == file.getvalue()


@pytest.mark.parametrize(
    "start",
    [b"II+\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"MM\0+\0\x08\0\0", b"\0\0\0\x18ftypheic", b"\0\0\0\x18ftypmif1"],
    ids=["big-tiff", "tiff-of-motorola", "big-tiff-of-motorola", "heic", "heif"],
)
def test_formats_that_cannot_be_written_here_are_known_too(start):
    assert starts_like_image(start + bytes(12))


@pytest.mark.parametrize(
    "text",
    ["", " ", "abc", "nonsense", "cat.jpg", "photos/cat", "file:///etc/passwd", "img", "iVBORw0KGgo!", "iVBOR",
     base64.b64encode(b"<html><body>Log in").decode(), base64.b64encode(b"%PDF-1.7 and so on").decode(), "\ud800" * 30,
     "image/png;base64," + TEXT, " " * 1_000_000 + TEXT, "ü" * 100, "%" * 1000],
    ids=["empty", "blank", "short", "word", "file-name", "path", "file-url", "id", "junk", "cut", "html", "pdf",
         "surrogates", "without-data", "blanks", "letters", "percents"],
)  # fmt: skip
def test_a_text_that_is_no_image_is_refused_with_what_to_send(text):
    with pytest.raises(BadRequest, match=r"^image_url: not an image; send base64"):
        check_image_text(text)


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png,%89PNG%0D%0A",
        "data:image/svg+xml;utf8,<svg/>",
        "data:,",
        "data:image/png;base64",
        "DATA:base64;,",
    ],
)
def test_a_data_uri_without_base64_is_refused_in_words(uri):
    with pytest.raises(BadRequest, match=r"^image_url: a data URI that is not in base64; send data:image/jpeg;base64,"):
        check_image_text(uri)


@pytest.mark.parametrize(
    "payload",
    [
        "a",
        "abcde",
        "ab*c",
        "ab=c",
        "=abc",
        "abc====",
        "=" * 1_000_000,
        "ab%ZZ",
        "ab%",
        "ab%2",
        "%41bcd",
        "ü",
        "\ud800",
        "\x00bcd",
    ],
)
def test_junk_behind_a_good_head_is_broken_base64(payload):
    source = check_image_text("data:image/png;base64," + payload)
    with pytest.raises(BadRequest, match=r"^image_url: broken base64$"):
        source.file_bytes()


def test_a_flood_of_white_space_is_nothing():
    assert check_image_text("data:;base64," + " \r\n\t" * 1_000_000).file_bytes() == b""


def test_the_bytes_of_a_file_stay_as_they_are():
    assert ImageSource(b" not base64\n").file_bytes() == b" not base64\n"


@given(st.text(max_size=80), st.sampled_from([*HEADS.values(), "data:", TEXT[:40]]))
def test_whatever_is_sent_is_decoded_or_refused(text, head):
    detail = "image_url: "
    try:
        assert isinstance(check_image_text(head + text).file_bytes(), bytes)
    except BadRequest as refused:
        detail = refused.detail
    assert detail.startswith("image_url: ")

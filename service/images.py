"""Images as clients send them: the bytes of a file, or base64 in any of the ways in which people write it.

Owns which texts are taken for an image, and what begins an image file. Looks no further into one: `service.decoding`
reads the bytes, in processes of its own. Every function is safe from any thread. Image data never enters a message.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from service.errors import BadRequest

# What begins a file of a format that is read here, or that is at least known by name. Read by nobody but to tell an
# image from other things; which of these is decoded is `service.decoding`'s business.
_STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|BM|II[*+]\x00|MM\x00[*+]|....ftyp",
    re.DOTALL,
)
MAGIC_BYTES = 12  # that are looked at
DIGEST_HEADER = "X-Pheye-Image-Digest"  # by its value a proxy sends an image to the same server each time

# Each part is bounded: the head of a text of 20 MB is looked at on the event loop.
_DATA_URI = re.compile(r"\s{0,64}data:[^,;]{0,100}(?:;[^,;]{1,100}){0,4}?;\s{0,8}base64\s{0,8},", re.IGNORECASE)
_HEAD_CHARS = 256  # of a text without `data:` of which the first bytes must be found, among line breaks
_SPACE = b" \t\r\n\f\v"
_ALPHABET = bytes.maketrans(b"-_", b"+/")  # from the URL-safe one
_ESCAPES = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%0D", b""), (b"%0A", b""), (b"%20", b""))
BROKEN = "image_url: broken base64"
NOT_AN_IMAGE = (
    "image_url: not an image; send base64, best as data:image/jpeg;base64,..., the id of an uploaded image, or an "
    "http(s) URL"
)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image as it arrived: the bytes of a file, or a text of base64 that looks like one."""

    content: bytes | str

    def file_bytes(self) -> bytes:
        """The bytes of the image file.

        Raises:
            BadRequest: the text's base64 is broken.
        """
        return self.content if isinstance(self.content, bytes) else _decode(self.content)


@dataclass(frozen=True, slots=True)
class HashedImage:
    """An image file, out of its base64 if it came so, and its digest."""

    file: ImageSource
    digest: str


def digest_of(file: bytes) -> str:
    """Return the digest of an image file: its SHA-256 in hexadecimal, as `sha256sum` prints it."""
    return hashlib.sha256(file).hexdigest()


def hashed(image: ImageSource) -> HashedImage:
    """Return an image's file and its digest, which is the same however the file was sent.

    Raises:
        BadRequest: the text's base64 is broken.

    >>> hashed(ImageSource(b"GIF89a")) == hashed(ImageSource("data:image/gif;base64,R0lGODlh"))
    True
    """
    file = image.file_bytes()
    return HashedImage(ImageSource(file), digest_of(file))


def starts_like_image(start: bytes) -> bool:
    """Say whether a file begins as one of a known image format.

    >>> starts_like_image(b"GIF89a..."), starts_like_image(b"<!doctype html>")
    (True, False)
    """
    return _STARTS.match(start) is not None


def check_image_text(text: str) -> ImageSource:
    """Check the head of a text that should hold an image; its base64 is decoded later, off the event loop.

    Raises:
        BadRequest: it is neither a base64 data URI nor the base64 of an image of a known format.
    """
    if _DATA_URI.match(text) or _is_bare_base64(text):
        return ImageSource(text)
    if text[:128].lstrip()[:5].lower() == "data:":
        raise BadRequest("image_url: a data URI that is not in base64; send data:image/jpeg;base64,...")
    raise BadRequest(NOT_AN_IMAGE)


def _is_bare_base64(text: str) -> bool:
    head = "".join(text[:_HEAD_CHARS].split())[: 6 * MAGIC_BYTES]  # three characters for each that is escaped
    try:
        return starts_like_image(_from_base64(_unescaped(head.encode("ascii").translate(_ALPHABET))[: 2 * MAGIC_BYTES]))
    except ValueError:
        return False


def _decode(text: str) -> bytes:
    head = _DATA_URI.match(text)
    try:
        # No more than two copies of a text of 20 MB are alive at any moment.
        payload = (text[head.end() :] if head else text).encode("ascii").translate(_ALPHABET, _SPACE)
        return _from_base64(_unescaped(payload))
    except ValueError:
        raise BadRequest(BROKEN) from None


def _from_base64(payload: bytes) -> bytes:
    """Decode base64 without white space, padded or not.

    Raises:
        ValueError: it is none.
    """
    end = payload[-2:]
    bare = len(payload) - len(end) + len(end.rstrip(b"="))
    padding = b"=" * (-bare % 4)
    if payload[bare:] != padding:
        payload = payload[:bare] + padding
    return base64.b64decode(payload, validate=True)


def _unescaped(payload: bytes) -> bytes:
    """Undo the percent-encoding of base64's own characters, as in a data URI that went through a URL."""
    if b"%" not in payload:
        return payload
    for escape, character in _ESCAPES:
        payload = payload.replace(escape, character).replace(escape.lower(), character)
    return payload

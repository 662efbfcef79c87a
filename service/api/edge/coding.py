"""Content codings of request bodies: a compressed body is refused before it is read.

Decompressing would make bytes out of few, before anybody has counted them. Pure; safe from any thread.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from service.errors import UnsupportedCoding

SHOWN_CHARS = 64


def check_coding(headers: Headers) -> None:
    """Check that a body is sent as it is.

    Raises:
        UnsupportedCoding: it is compressed, or coded otherwise.
    """
    codings = ", ".join(headers.getlist("content-encoding")).strip()
    if codings and codings.lower() != "identity":
        raise UnsupportedCoding(
            f"content-encoding: {codings[:SHOWN_CHARS]} is not taken; send the body as it is, without compression"
        )

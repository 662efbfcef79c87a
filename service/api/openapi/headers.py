"""Headers of responses, each described once for the whole document; a response refers to those that it has.

Pure data; made at import.
"""

from __future__ import annotations

from typing import Any

_ID = "6c0e5f2b1d8f4a7c9e3b0a1d2c4f6e80"
_ABOUT: dict[str, tuple[str, str]] = {
    "X-Request-Id": (
        "Names this request in the service's log: the id that the request brought along in this header (1 to 128 of "
        "the characters `A-Z a-z 0-9 . _ ~ : @ + = / -`), else a new one.",
        _ID,
    ),
    "Server-Timing": (
        "The answer's `timings`, in milliseconds; of a stream only `preprocess`.",
        "queue;dur=1.000, preprocess;dur=4.000, encode;dur=110.000, prefill;dur=50.000, decode;dur=30.000, "
        "total;dur=200.000",
    ),
    "X-Pheye-Image-Digest": (
        "SHA-256 of the image's file, for a proxy that sends an image to the same server each time; absent if the "
        "image was named by its id.",
        "d9d2bd41f2e4ec6d5e3a1b8f0a54f2c1b6cf2f1f7a6d51a0c1f3f0c2b9f4a7e3",
    ),
    "X-Pheye-Ignored": (
        "Fields that were sent and have no effect; absent if there are none.",
        "messages[].name,top_k",
    ),
    "Location": ("Path of the image's card.", "/v1/images/img_3f0a"),
    "WWW-Authenticate": ("How to send a key.", "Bearer"),
    "X-Should-Retry": ("`false`: OpenAI's own clients need not try again, for it cannot help.", "false"),
    "Vary": ("The format is chosen by the request's `Accept`.", "Accept"),
}
HEADERS: dict[str, dict[str, Any]] = {
    name: {"description": words, "schema": {"type": "string"}, "example": example}
    for name, (words, example) in _ABOUT.items()
} | {
    "Retry-After": {
        "description": "Seconds after which to try again; add a little at random.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    }
}


def header_docs(*names: str) -> dict[str, Any]:
    """Document the headers of a response, by name; without names nothing."""
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}} if names else {}

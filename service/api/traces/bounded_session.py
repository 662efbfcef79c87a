"""HTTP session whose answers are bounded in bytes and seconds, for a collector that may have gone mad.

Requests reads an answer whole, however long it is, and its timeout begins anew with every byte. Called by the thread of
the SDK that sends spans.
"""

from __future__ import annotations

import time
from typing import Any

import requests

MOST_BYTES = 65_536  # an answer of OTLP says at most how many spans were refused, and why
WITHIN_S = 10.0


class BoundedSession(requests.Session):
    """Session that gives up an answer which is too long or comes too slowly.

    Args:
        most_bytes: of an answer's body.
        within_s: from its head to its end.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, within_s: float = WITHIN_S) -> None:
        super().__init__()
        self._most_bytes, self._within_s = most_bytes, within_s

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request and read its answer.

        Raises:
            requests.ConnectionError: the answer has no end in sight.
            requests.TooManyRedirects: it names another address, to which the spans would not be sent.
        """
        response = super().send(request, **{**kwargs, "stream": True, "allow_redirects": False})
        response._content = self._body(response)
        if response.is_redirect:
            raise requests.TooManyRedirects("the collector redirects: name the address that it redirects to")
        return response

    def _body(self, response: requests.Response) -> bytes:
        body, end_s = b"", time.monotonic() + self._within_s
        try:
            while part := response.raw.read1(self._most_bytes, decode_content=False):
                body += part
                if len(body) > self._most_bytes or time.monotonic() > end_s:
                    raise requests.ConnectionError("the collector's answer has no end in sight")
        finally:
            response.close()
        return body

"""Cross-origin resource sharing (CORS): which web pages may call the service from a browser.

Owns the headers that browsers ask for. Credentials in the sense of CORS, cookies, are never allowed: a page sends its
API key in a header. Knows no route. Event loop.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Scope

METHODS = "GET, HEAD, POST, DELETE"
# What a page may read of an answer, beside its body and the headers that any page may read.
EXPOSED = "X-Request-Id, Retry-After, X-Pheye-Ignored, X-Pheye-Image-Digest, Server-Timing, Traceparent"
MAX_AGE_S = 600  # for which a browser remembers a preflight
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")


class CorsPolicy:
    """The origins that may call the service, and what they are told."""

    def __init__(self, origins: str) -> None:
        """Allow these origins, separated by commas; `*` is any, and none leaves every response as it is."""
        self._origins = frozenset(filter(None, origins.split(",")))
        self._any = "*" in self._origins

    def preflight(self, scope: Scope) -> Response | None:
        """Answer a browser that asks whether it may send a request; None if this is another request.

        A page of another origin gets no answer of this kind: its request is refused like any that no route takes.
        """
        headers = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers or not self._allows(headers):
            return None
        told = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(MAX_AGE_S)}
        wanted = headers.get("access-control-request-headers", "")
        if _HEADER_NAMES.fullmatch(wanted):
            told["Access-Control-Allow-Headers"] = wanted  # clients' libraries have dozens of their own
        response = Response(status_code=204, headers=told)
        response.headers.add_vary_header("Access-Control-Request-Headers")
        return response

    def add_headers(self, scope: Scope, response: MutableHeaders) -> None:
        """Let the page that asked read a response, if it may."""
        if not self._origins:
            return
        if not self._any:
            response.add_vary_header("Origin")  # a cache must not give one page's answer to another
        headers = Headers(scope=scope)
        if self._allows(headers):
            response["Access-Control-Allow-Origin"] = "*" if self._any else headers["origin"]
            response["Access-Control-Expose-Headers"] = EXPOSED

    def _allows(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is not None and (self._any or origin.lower() in self._origins)

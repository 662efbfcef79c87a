"""Targets of requests: the whole address that a client writes to a proxy is taken for what it names.

Pure protocol, no sockets. Event loop.
"""

from __future__ import annotations

import re

import h11

from service.api.connections.chunks import FramingError

_WHOLE_ADDRESS = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(rb"[^@\s]+")  # a user would be a password in a log


def in_origin_form(request: h11.Request) -> h11.Request:
    """Return a request whose target is a path; of one with an absolute target (RFC 9112, 3.2.2) its host counts.

    Raises:
        FramingError: the address has no host, or names a user.

    >>> request = h11.Request(method="GET", target="http://b/livez?x", headers=[("Host", "a"), ("Accept", "c")])
    >>> in_origin_form(request).target, list(in_origin_form(request).headers)
    (b'/livez?x', [(b'host', b'b'), (b'accept', b'c')])
    """
    found = _WHOLE_ADDRESS.fullmatch(request.target)
    if found is None:
        return request
    host, path = found.groups()
    if not _HOST.fullmatch(host):
        raise FramingError("the address in the request line has no host alone", error_status_hint=400)
    target = path if path.startswith(b"/") else b"/" + path
    headers = [(b"host", host), *((name, value) for name, value in request.headers if name != b"host")]
    return h11.Request(method=request.method, headers=headers, target=target, http_version=request.http_version)

"""Paths as clients write them: with doubled or trailing slashes, or without `/v1`.

Owns the one rewriting of a request's path, which comes before everything that looks at it: keys, limits, routes, log
and metrics see the same path. Nothing but the API's own paths is rewritten. Pure; safe from any thread.
"""

from __future__ import annotations

import re

from starlette.types import Scope

_SLASHES = re.compile(r"/{2,}")
_API = "/v1"
_WITHOUT_VERSION = re.compile(
    r"/((chat/)?completions|responses|embeddings|models(/.+)?)"
)  # what OpenAI's clients add to their base URL


def canonical_path(path: str) -> str:
    """Return the path that is meant, if it is one of the API's, else the path as it is.

    >>> [canonical_path(path) for path in ("/v1//models/", "//chat/completions", "/models/a", "//livez", "/")]
    ['/v1/models', '/v1/chat/completions', '/v1/models/a', '//livez', '/']
    """
    plain = _SLASHES.sub("/", path).rstrip("/")
    if _WITHOUT_VERSION.fullmatch(plain):
        return _API + plain
    return plain if f"{plain}/".startswith(f"{_API}/") else path


def with_canonical_path(scope: Scope) -> Scope:
    """Return a request's scope with the path that is meant, behind the prefix under which the service is mounted."""
    prefix, path = scope.get("root_path", ""), scope["path"]
    if not path.startswith(f"{prefix}/"):
        return scope
    meant = prefix + canonical_path(path[len(prefix) :])
    return scope if meant == path else {**scope, "path": meant}

"""API keys: which requests need one, which keys are valid, and whose images a key may see.

Every path is closed, made-up ones too, except where the route itself is marked with `KEYLESS`. Knows no route by name.
Event loop.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from service.api.request_context import context_of
from service.configuration.client_policy import ClientPolicy
from service.configuration.key_files import KeyEntry, digest_of
from service.errors import Unauthorized

# The `openapi_extra` of a route that needs no key. It is OpenAPI's own word for it, so the document says the same.
KEYLESS: dict[str, Any] = {"security": []}


class ApiKeys:
    """The keys that open the service, and the routes that need none."""

    def __init__(self, keys: Mapping[str, KeyEntry], default: ClientPolicy, routes: Sequence[BaseRoute]) -> None:
        """Take the keys to accept; without any, everything is open.

        Args:
            keys: any of them will do; by their digest.
            default: the policy of everybody else.
            routes: all of the service's, in the order in which they are tried.
        """
        self._keys, self._default, self._routes = keys, default, routes

    def replace(self, keys: Mapping[str, KeyEntry]) -> None:
        """Accept these keys from the next request on, and no others.

        Raises:
            ValueError: there are none, and a service that asks for keys is not opened to everybody by a file.
        """
        if not keys:
            raise ValueError("there is no key left")
        self._keys = keys

    def check(self, scope: Scope) -> None:
        """Check the API key of a request, and note whose it is and what that client is entitled to.

        Raises:
            Unauthorized: the key is missing or wrong.
        """
        context = context_of(scope)
        context.policy = self._default
        if not self._keys or _is_keyless(chosen_route(self._routes, scope)):
            return
        digest = digest_of(_key_of(Headers(scope=scope)))
        # Every key is compared, so the time does not tell which one was close.
        matches = [hmac.compare_digest(digest, known) for known in self._keys]
        if not any(matches):
            raise Unauthorized("send a valid key as Authorization: Bearer KEY or as X-Moondream-Auth: KEY")
        context.owner = context.client = digest
        entry = self._keys[digest]
        context.policy, context.key_name = entry.policy, entry.name
        if entry.group:
            context.owner = digest_of(f"group {entry.group}".encode())


def chosen_route(routes: Sequence[BaseRoute], scope: Scope) -> BaseRoute | None:
    """Find the route that will be taken: the first that fits, else the first whose path does (and answers 405)."""
    by_path = None
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return route
        if match is Match.PARTIAL and by_path is None:
            by_path = route
    return by_path


def _is_keyless(route: BaseRoute | None) -> bool:
    marks: Mapping[str, Any] = getattr(route, "openapi_extra", None) or {}
    return bool(marks.get("security") == KEYLESS["security"])


def _key_of(headers: Headers) -> bytes:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-moondream-auth", "")
    return given.encode("latin-1", "replace")

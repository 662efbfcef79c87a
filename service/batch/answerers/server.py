"""Connection of a command to a running service: address, API key, and the model and limits it reports.

Knows neither images nor questions. Main thread only, before `service.batch.answerers.remote` begins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from model.bounded_files import read_at_most
from service.batch.answerers.bounded_http import ask
from service.batch.answerers.retry import PASSING, RetryBudget
from service.configuration.plain_words import plain_value
from service.schemas.service_card import ServiceCard

CONNECT_S = 10.0
CARD_S = 30.0  # for what a service tells of itself, from the connection to its last byte
SEND_S = 60.0  # in which the service takes no byte of an upload
_MOST_KEY_BYTES = 8192  # more is in no header that a server takes
LOADING_S = 1.0  # between two looks at a service that loads


class ServiceConnectionError(ValueError):
    """A service cannot be reached, is none of ours, or has gone; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ServiceConnection:
    """The address of a service, and the key and patience to use with it.

    Attributes:
        url: where it is, as `check_url` gives it.
        key: API key, if it asks for one.
        in_flight: most requests under way at the same time.
        retry_for_s: how long a request that was refused for the moment, or found no service, is tried again.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    in_flight: int = 16
    retry_for_s: float = 300.0

    def connection(self, answer_s: float) -> dict[str, Any]:
        """Build the arguments of an httpx client, with timeouts for answers that may take long."""
        headers = {b"User-Agent": f"pheye/{version('pheye-service')}".encode()}
        if self.key is not None:
            headers[b"Authorization"] = f"Bearer {self.key}".encode()
        timeout = httpx.Timeout(answer_s, connect=CONNECT_S, write=SEND_S)
        return {"base_url": self.url, "headers": headers, "timeout": timeout}


def check_url(url: str) -> str:
    """Check the address of a service, and drop a slash at its end.

    Raises:
        ServiceConnectionError: it is no such address; it is not repeated, there may be a password in it.
    """
    try:
        parts = httpx.URL(url)
        _ = parts.host  # which may be no name in any script: xn--a
    except (httpx.InvalidURL, UnicodeError):
        raise ServiceConnectionError("--server: this is no address; write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ServiceConnectionError("--server: write the whole address, http://HOST:PORT or https://HOST")
    if parts.userinfo or parts.query or parts.fragment:
        raise ServiceConnectionError(
            "--server: no user, query or fragment is taken; a key is given with --api-key-file"
        )
    return str(parts).rstrip("/")


def read_key(file: Path) -> str:
    """Read the API key in a file; it is never shown.

    Raises:
        ServiceConnectionError: there is something else in it.
        OSError: it cannot be read.
    """
    try:
        key = read_at_most(file, _MOST_KEY_BYTES).decode("utf-8").strip()
    except UnicodeDecodeError:
        key = ""
    if not key.isprintable() or not key or " " in key or len(key) > _MOST_KEY_BYTES:
        raise ServiceConnectionError(f"{file}: expected an API key, alone on its line")
    return key


def contact(server: ServiceConnection, tell: Callable[[str], None]) -> ServiceCard:
    """Ask a service about itself, and wait until it has a model, and until a proxy in front of it has found it.

    Args:
        server: where it is.
        tell: shows the user a line.

    Raises:
        ServiceConnectionError: it is not there, is none of ours, wants another key, or loads for too long.
    """
    retry_budget, told = RetryBudget(server.retry_for_s), ""
    while isinstance(found := _card(server), str):
        if found != told:
            tell(f"{server.url}: {found}")
            told = found
        pause_s = retry_budget.pause_s(time.monotonic(), LOADING_S)
        if pause_s is None:
            raise ServiceConnectionError(f"{server.url}: {found}; given up after {server.retry_for_s:g} s")
        time.sleep(pause_s)
    return found


def look(server: ServiceConnection) -> ServiceCard | None:
    """Ask a service about itself once more, which has answered before; None if it does not tell just now."""
    try:
        found = _card(server)
    except ServiceConnectionError:
        return None
    return None if isinstance(found, str) else found


def _card(server: ServiceConnection) -> ServiceCard | str:
    """Ask a service about itself; what it says where it is to be asked again."""
    try:
        response = ask(server.connection(CONNECT_S), "/v1", CARD_S)
    except httpx.RequestError as error:
        raise ServiceConnectionError(f"{server.url}: {silence(error)}; is the service running there?") from None
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise ServiceConnectionError(
            f"{server.url}: the API key is missing or wrong; give a file that holds it: --api-key-file"
        )
    if response.status_code in PASSING:  # a proxy in front of a service that restarts
        return f"HTTP {response.status_code} {plain_value(response.reason_phrase)}".rstrip()
    try:
        card = ServiceCard.model_validate_json(response.content)
    except ValueError:
        asked = f"GET {response.request.url.path} answered {response.status_code}"
        hint = "; leave /v1 out of the address" if server.url.endswith("/v1") else ""
        raise ServiceConnectionError(
            f"{server.url}: this is no Pheye service of this version ({asked}){hint}"
        ) from None
    return "the model is loading" if card.model is None else card


def silence(error: httpx.RequestError) -> str:
    """Explain in words why there was no answer.

    >>> silence(httpx.ConnectError("Connection refused")), silence(httpx.ReadTimeout(""))
    ('no answer (Connection refused)', 'no answer (ReadTimeout)')
    """
    reason = (_refusal(error) if isinstance(error, httpx.ConnectError) else "") or str(error)
    return f"no answer ({plain_value(reason.rstrip('.')) or type(error).__name__})"


def _refusal(error: BaseException | None) -> str:
    """Find the operating system's word for a connection that was not made, where the client has one of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
            return os.strerror(error.errno)
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
    return ""

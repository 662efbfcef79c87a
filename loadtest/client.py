"""HTTP client of one request, timed: first text, end, refusals and failures.

Knows the service's routes and answers, not who asks what or when. Event loop; times are `time.monotonic`'s.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeGuard

import httpx
from httpx_sse import EventSource

from loadtest.bounded import BoundedTransport
from loadtest.mix import PlannedRequest

OK = "200"
DIGEST_HEADER = "X-Pheye-Image-Digest"  # by which a proxy in front of several servers may keep an image on one of them
SHOWN_CHARS = 300  # of what a failure says
# Servers close idle connections (uvicorn after 5 s); one that is closed while a request is on its way would count as
# lost. So ours are closed first.
IDLE_S = 2.0
_MOST_COUNTED = 10**9  # tokens or tiles of one answer: what is more comes from no server of ours


@dataclass(frozen=True, slots=True)
class TimedResponse:
    """Response to one request, with its times.

    Attributes:
        status: 200 only for a whole answer; else a status, that of an error at the end of a stream included, or what
            broke the connection.
        ended_s: when.
        first_text_s: when the first text of a stream came.
        tokens: generated, as the server counts.
        cached: whether the server had the image's features; None if it did not say.
        come_back_s: for how long a refusal asked to stay away.
        detail: what a failure says.
    """

    status: str
    ended_s: float
    first_text_s: float | None = None
    tokens: int = 0
    cached: bool | None = None
    come_back_s: float | None = None
    detail: str = ""


def open_http(url: str, connections: int | None, timeout_s: float = 300.0, key: str | None = None) -> httpx.AsyncClient:
    """Open a client for one server.

    Args:
        url: of the server.
        connections: most at a time; None for as many as there are requests.
        timeout_s: for which a connection may be silent, and an answer's head take.
        key: API key, if the server asks for one.
    """
    return httpx.AsyncClient(
        base_url=url,
        headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key is not None else {}),
        timeout=httpx.Timeout(timeout_s, pool=None),
        transport=BoundedTransport(httpx.Limits(max_connections=connections, keepalive_expiry=IDLE_S), timeout_s),
        trust_env=False,  # a proxy between would be measured too
    )


@dataclass(slots=True)
class Client:
    """Client of one server, with retries after a refusal if told to.

    Attributes:
        http: the connections.
        patience_s: for how long a refused request is asked again; with 0 the refusal is its reply.
        refusals: answers of 429 and 503 that said when to come back, and were obeyed.
    """

    http: httpx.AsyncClient
    patience_s: float
    refusals: int = 0

    async def ask(self, ask: PlannedRequest) -> TimedResponse:
        """Return the response to one request; that of its last try if it was refused before."""
        end_s = time.monotonic() + self.patience_s
        while True:
            reply = await send(self.http, ask)
            if reply.come_back_s is None or time.monotonic() + reply.come_back_s >= end_s:
                return reply
            self.refusals += 1
            await asyncio.sleep(reply.come_back_s)


async def send(http: httpx.AsyncClient, ask: PlannedRequest) -> TimedResponse:
    """Send one request once."""
    try:
        headers = {DIGEST_HEADER: hashlib.sha256(ask.image).hexdigest()}
        request = http.build_request("POST", ask.path, data=ask.form(), files={"image": ask.image}, headers=headers)
        request.read()  # the form in one piece, as most clients send one: in a dozen, each would wake the server
        async with aclosing(await http.send(request, stream=True)) as response:
            if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return await _streamed(response)
            await response.aread()
            return _whole(response)
    except httpx.RequestError as error:
        return TimedResponse(type(error).__name__, time.monotonic(), detail=str(error)[:SHOWN_CHARS])
    except (ValueError, RecursionError) as error:
        return TimedResponse("no JSON", time.monotonic(), detail=str(error)[:SHOWN_CHARS])


def _whole(response: httpx.Response) -> TimedResponse:
    ended_s = time.monotonic()
    if response.status_code != httpx.codes.OK:
        detail = response.text[:SHOWN_CHARS]
        return TimedResponse(str(response.status_code), ended_s, come_back_s=_come_back_s(response), detail=detail)
    return _answered(json_object(response.text), ended_s)


async def _streamed(response: httpx.Response) -> TimedResponse:
    first_text_s, last = None, {}
    async with aclosing(EventSource(response).aiter_sse()) as events:
        async for event in events:
            if event.data:
                last = json_object(event.data)
                if first_text_s is None and last.get("chunk"):
                    first_text_s = time.monotonic()
    ended_s = time.monotonic()
    if "error" in last:  # a stream begins with 200 before it can fail, and says so at its end
        error = last["error"] if isinstance(last["error"], dict) else {}
        status, detail = str(error.get("status"))[:SHOWN_CHARS], str(error.get("detail"))
        return TimedResponse(status, ended_s, first_text_s, detail=detail[:SHOWN_CHARS])
    if not last.get("completed"):
        return TimedResponse("cut short", ended_s, first_text_s)
    return _answered(last, ended_s, first_text_s)


def _answered(answer: Mapping[str, Any], ended_s: float, first_text_s: float | None = None) -> TimedResponse:
    usage = answer.get("usage")
    told = usage if isinstance(usage, dict) else {}
    tokens, cached = told.get("completion_tokens"), told.get("image_features_cached")
    return TimedResponse(
        OK,
        ended_s,
        first_text_s,
        tokens if is_count(tokens) else 0,
        cached if isinstance(cached, bool) else None,
    )


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether a value of a server's JSON is a number of things.

    >>> is_count(4), is_count(-1), is_count(10**400), is_count(float("inf")), is_count(True)
    (True, False, False, False, False)
    """
    return type(value) is int and 0 <= value <= _MOST_COUNTED


def is_finite(value: object) -> bool:
    """Tell whether a value of a server's JSON is a finite number.

    >>> is_finite(0.5), is_finite(float("inf")), is_finite(10**400), is_finite("1"), is_finite(True)
    (True, False, False, False, False)
    """
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object that a server sent.

    Raises:
        ValueError, RecursionError: it is none, or too deep.
    """
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("this is no JSON object")
    return value


def _come_back_s(response: httpx.Response) -> float | None:
    """Return the seconds in Retry-After of a refusal; None if there are none, and it is a failure."""
    asked = response.headers.get("Retry-After", "")
    try:
        seconds = float(asked) if response.status_code in (429, 503) else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None

"""`pheye mcp`: the process that an agent starts, and speaks MCP with over standard input and output.

Answers by a whole service in this process, without a socket, or by one that runs elsewhere. Owns the waiting for
either. Main thread; the event loop's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from service.batch.answerers.bounded_http import ANSWER_BYTES, AnswerOutOfBoundsError, request
from service.batch.answerers.remote import SLACK_S
from service.batch.answerers.retry import PASSING, RetryBudget, retry_after_s
from service.batch.answerers.server import ServiceConnection, ServiceConnectionError, contact, look, silence
from service.configuration.settings import Settings
from service.logs import configure_logging
from service.mcp.images import LocalSources
from service.mcp.service_client import SentImage, ToolError, request_of
from service.mcp.tools import Tools
from service.schemas.service_card import ServiceCard

if TYPE_CHECKING:
    from service.dispatch.queue import RequestQueue

LOOK_S = 0.1  # between two looks at a model that loads

logger = logging.getLogger("pheye.mcp")


def serve_here(settings: Settings) -> int:
    """Answer an agent by an engine of this process's own, until its input ends.

    Returns:
        The exit code: 0.
    """
    from service.api.server import configure_api_logging

    chosen = "log_level" in settings.model_fields_set
    level = settings.log_level if chosen else "warning"  # an agent's user sees these lines among others
    configure_api_logging(level, settings.log_format)
    asyncio.run(_serve_here(_for_one_user(settings)))
    return 0


def serve_there(server: ServiceConnection) -> int:
    """Answer an agent by a running service, until its input ends.

    Returns:
        The exit code: 0.
    """
    configure_logging(logging.WARNING, "text")
    asyncio.run(_serve_there(server))
    return 0


def _for_one_user(settings: Settings) -> Settings:
    """Return the settings without what is for clients of a network: only the agent that starts this process asks it."""
    return settings.model_copy(
        update={
            "api_keys": (),
            "api_keys_file": "",
            "keys_file": "",
            "client_concurrency": 0,
            "client_rate": "",
            "root_path": "",
        }
    )


async def _serve_here(settings: Settings) -> None:
    from service.api.app import create_app
    from service.api.in_process import InProcessTransport
    from service.dispatch.queue import RequestQueue
    from service.metrics.service_metrics import Metrics

    queue = RequestQueue(settings, metrics := Metrics())
    app = create_app(settings, queue, metrics)
    transport = InProcessTransport(app)  # has no timeouts; the service's deadline holds
    client = httpx.AsyncClient(transport=transport, base_url="http://pheye")
    async with app.router.lifespan_context(app), client:
        await _speak(Tools(_OwnEngine(queue, client), LocalSources(settings.max_body_bytes)))


async def _serve_there(server: ServiceConnection) -> None:
    service = RunningService(server)
    await _speak(Tools(service, _SourcesFor(service)))


async def _speak(tools: Tools) -> None:
    from service.mcp.sdk import serve_stdio

    await serve_stdio(tools)


@dataclass(frozen=True, slots=True)
class _OwnEngine:
    """The service in this process; calls that come while its model loads wait for it."""

    queue: RequestQueue
    client: httpx.AsyncClient

    async def post(self, path: str, fields: Mapping[str, Any], file: bytes | None) -> httpx.Response:
        """Send a request, once there is a model."""
        while self.queue.card is None and not self.queue.failure:  # noqa: ASYNC110 - a queue has no event for both
            await asyncio.sleep(LOOK_S)
        return await self.client.request(**request_of(path, fields, file))


@dataclass(slots=True)
class RunningService:
    """A service elsewhere: looked at before each call, and asked again while it is full or restarts."""

    server: ServiceConnection
    card: ServiceCard | None = None
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def post(self, path: str, fields: Mapping[str, Any], file: bytes | None) -> httpx.Response:
        """Send a request, and again for as long as the service is to be waited for.

        Raises:
            ToolError: it is not there.
        """
        card = self.card or await self._card()
        patience_s = card.limits.deadline_s + SLACK_S
        async with httpx.AsyncClient(**self.server.connection(patience_s)) as client:
            budget = RetryBudget(self.server.retry_for_s)
            while True:
                try:
                    response = await request(client, ANSWER_BYTES, patience_s, **request_of(path, fields, file))
                except AnswerOutOfBoundsError as error:
                    raise ToolError(f"{self.server.url}: no answer: {error}") from None
                except httpx.RequestError as error:
                    response, words = None, f"{self.server.url}: {silence(error)}; is the service running there?"
                if response is not None and response.status_code not in PASSING:
                    return response
                asked_s = retry_after_s(response.headers) if response is not None else 0.0
                pause_s = budget.pause_s(time.monotonic(), asked_s)
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
                elif response is not None:
                    return response
                else:
                    raise ToolError(words)

    async def most_bytes(self) -> int:
        """Return how large a request it takes now: it may have been started anew, with other limits.

        Raises:
            ToolError: it is not there.
        """
        return (await self._card()).limits.body_bytes

    async def _card(self) -> ServiceCard:
        async with self.looking:
            if self.card is not None:  # while it restarts, what it said before
                self.card = await asyncio.to_thread(look, self.server) or self.card
                return self.card
            try:
                self.card = await asyncio.to_thread(contact, self.server, logger.warning)
            except ServiceConnectionError as error:
                raise ToolError(str(error)) from None
            return self.card


@dataclass(frozen=True, slots=True)
class _SourcesFor:
    """The images of this machine, as large as a running service takes them."""

    service: RunningService
    local: bool = True

    async def image(self, given: Mapping[str, str]) -> SentImage | None:
        """Find an image, as `LocalSources` does."""
        return await LocalSources(await self.service.most_bytes()).image(given)

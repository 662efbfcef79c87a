"""Servers of a run: their names, their readiness documents, and the engine time they count.

Event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from loadtest.client import SHOWN_CHARS, json_object, open_http

ENGINE_SECONDS = "pheye_step_seconds_sum"  # by phase


class ServerError(RuntimeError):
    """Server that cannot be measured; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Server that answers `/v1/caption` and `/v1/vqa`.

    Attributes:
        name: under which the report has it.
        url: where it is.
        key: API key, if it asks for one; in no report.
    """

    name: str
    url: str
    key: str | None = field(default=None, repr=False)

    async def card(self) -> dict[str, Any]:
        """Fetch the server's `/readyz`: its model, device, number format.

        Raises:
            ServerError: it is not there, or not ready.
        """
        try:
            async with open_http(self.url, 1, key=self.key) as http:
                response = await http.get("/readyz")
        except httpx.RequestError as error:
            raise ServerError(f"{self.name}: no answer from {self.url}: {error}") from None
        if response.status_code != httpx.codes.OK:
            raise ServerError(
                f"{self.name}: {self.url}/readyz says {response.status_code}: {response.text[:SHOWN_CHARS]}"
            )
        try:
            return json_object(response.text)
        except (ValueError, RecursionError):
            raise ServerError(f"{self.name}: {self.url}/readyz is no JSON object; is this a Pheye server?") from None

    async def engine_s(self) -> float | None:
        """Return the seconds for which its engines have worked so far; None if it does not tell."""
        return await self.metric(ENGINE_SECONDS)

    async def metric(self, name: str) -> float | None:
        """Return the sum of a metric over all its labels; None if it does not tell."""
        try:
            async with open_http(self.url, 1, key=self.key) as http:
                response = await http.get("/metrics")
        except httpx.RequestError:
            return None  # whether the server still lives, the requests tell
        if response.status_code != httpx.codes.OK:
            return None
        try:
            families = list(text_string_to_metric_families(response.text))
        except ValueError:
            return None
        values = [each.value for family in families for each in family.samples if each.name == name]
        return sum(values) if values else None

"""Servers of a run: their names, their readiness documents, and the engine time they count.

Event loop.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from loadtest.client import SHOWN_CHARS, json_object, open_http

# Seconds that a server counts, by their names here: work of its engines, and computing time of its processes.
SECONDS = {
    "engine": "pheye_step_seconds_sum",
    "api": "process_cpu_seconds_total",
    "workers": "pheye_worker_cpu_seconds_total",
    "decoders": "pheye_decoder_cpu_seconds_total",
}


class ServerError(RuntimeError):
    """Server that cannot be measured; the message says which and why."""


def shown_url(url: str) -> str:
    """Return an address without what may be a secret in it.

    >>> shown_url("https://me:secret@host:8000/eye?key=secret")
    'https://host:8000/eye'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@dataclass(frozen=True, slots=True)
class Server:
    """Server that answers `/v1/caption` and `/v1/vqa`.

    Attributes:
        name: under which the report has it.
        url: where it is; of a proxy before it perhaps with a user and a password, which are in no report.
        key: API key, if it asks for one; in no report.
    """

    name: str
    url: str = field(repr=False)
    key: str | None = field(default=None, repr=False)

    @property
    def shown_url(self) -> str:
        """The address as it may be shown: without user, password and query."""
        return shown_url(self.url)

    async def card(self) -> dict[str, Any]:
        """Fetch the server's `/readyz`: its model, device, number format.

        Raises:
            ServerError: it is not there, or not ready.
        """
        try:
            async with open_http(self.url, 1, key=self.key) as http:
                response = await http.get("/readyz")
        except httpx.RequestError as error:
            raise ServerError(f"{self.name}: no answer from {self.shown_url}: {error}") from None
        if response.status_code != httpx.codes.OK:
            raise ServerError(
                f"{self.name}: {self.shown_url}/readyz says {response.status_code}: {response.text[:SHOWN_CHARS]}"
            )
        try:
            return json_object(response.text)
        except (ValueError, RecursionError):
            words = f"{self.name}: {self.shown_url}/readyz is no JSON object; is this a Pheye server?"
            raise ServerError(words) from None

    async def seconds(self) -> dict[str, float]:
        """Return what it tells of `SECONDS` so far."""
        told = await self.metrics()
        return {name: told[metric] for name, metric in SECONDS.items() if metric in told}

    async def metric(self, name: str) -> float | None:
        """Return the sum of a metric over all its labels; None if it does not tell."""
        return (await self.metrics()).get(name)

    async def metrics(self) -> dict[str, float]:
        """Return the sum of each metric over all its labels, as far as it tells any."""
        try:
            async with open_http(self.url, 1, key=self.key) as http:
                response = await http.get("/metrics")
        except httpx.RequestError:
            return {}  # whether the server still lives, the requests tell
        if response.status_code != httpx.codes.OK:
            return {}
        try:
            families = list(text_string_to_metric_families(response.text))
        except ValueError:
            return {}
        sums: defaultdict[str, float] = defaultdict(float)
        for each in chain.from_iterable(family.samples for family in families):
            sums[each.name] += each.value
        return dict(sums)

"""Policies of clients: weight, limits and priority.

Knows no keys: `service.configuration.key_files` has a policy for each of them. Pure; safe from any thread or process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from limits import RateLimitItem

Priority = Literal["interactive", "bulk"]


def check_rate(value: str) -> str:
    """Check a rate limit in the notation of the library `limits`, such as `60/minute`; empty is none.

    Raises:
        ValueError: it is not in that notation.

    >>> check_rate("10/second; 1000/hour")
    '10/second; 1000/hour'
    """
    rates_of(value)
    return value


def rates_of(value: str) -> tuple[RateLimitItem, ...]:
    """Parse a rate limit; several are separated by semicolons.

    Raises:
        ValueError: it is not in the notation of the library `limits`.
    """
    if not value.strip():
        return ()
    from limits import parse_many  # with all its storages, which whoever has no rate does without

    try:
        rates = tuple(parse_many(value))
    except ValueError:
        rates = ()
    if not rates or any(rate.amount < 1 or rate.multiples < 1 for rate in rates):
        raise ValueError("not a rate limit; write 60/minute, or 10/second; 1000/hour")
    return rates


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """Policy of one client: its weight, its limits, its priority.

    Attributes:
        weight: its share of slots and waiting room in comparison with others.
        max_concurrent: requests it may have under way; 0 for any number.
        rate: requests it may send in a time; none means any number.
        priority: the highest that its requests may have.
    """

    weight: float = 1.0
    max_concurrent: int = 0
    rate: tuple[RateLimitItem, ...] = ()
    priority: Priority = "interactive"

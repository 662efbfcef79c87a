"""Policies of clients: weight, limits and priority; and the file that has one for each API key.

Owns the format of `PHEYE_KEYS_FILE`. Keys are kept as digests, and no message repeats one. Pure but for reading the
file; safe from any thread or process.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from service.plain_words import plain_words

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


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """An API key of the file: its digest, its name for people, whose images it shares, and its policy."""

    digest: str
    name: str
    group: str | None
    policy: ClientPolicy


def digest_of(key: bytes) -> str:
    """Return the digest under which a key is known."""
    return hashlib.sha256(key).hexdigest()


def _check_name(value: str) -> str:
    """Refuse a name that would be empty or end a line where it is read: in the access log, in an error."""
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError("must not hold control characters, line breaks or other characters that do not print")
    if value != value.strip():
        raise ValueError("must not begin or end with a space")
    return value


def _check_digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("must be 64 hexadecimal digits, which sha256sum prints")
    return value


_Name = Annotated[str, Field(max_length=64), AfterValidator(_check_name)]


class _KeyFields(BaseModel):
    """A `[[key]]` of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    name: _Name
    key: SecretStr | None = Field(default=None, min_length=1)
    sha256: Annotated[str, AfterValidator(_check_digest)] | None = None
    group: _Name | None = None
    weight: float = Field(default=1.0, ge=0.01, le=100.0)
    max_concurrent: int | None = Field(default=None, ge=0, le=100_000)
    rate: Annotated[str, AfterValidator(check_rate)] | None = None
    priority: Priority = "interactive"

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise PydanticCustomError("key", "key: give exactly one of key and sha256")
        return self

    @property
    def digest(self) -> str:
        """The digest of the key, however it is given."""
        return digest_of(self.key.get_secret_value().encode()) if self.key else str(self.sha256).lower()

    def entry(self, default: ClientPolicy) -> KeyEntry:
        """Build the entry; limits that it does not name are the default's."""
        policy = ClientPolicy(
            self.weight,
            default.max_concurrent if self.max_concurrent is None else self.max_concurrent,
            default.rate if self.rate is None else rates_of(self.rate),
            self.priority,
        )
        return KeyEntry(self.digest, self.name, self.group, policy)


def read_key_file(path: str, default: ClientPolicy) -> tuple[KeyEntry, ...]:
    """Read the keys of a file; limits that a key does not name are the default's.

    Raises:
        ValueError: it cannot be read, or is wrong; the message names the line, or the key and the field.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply; the file holds [[key]] tables with plain values") from None
    except ValueError as error:  # of TOML, of UTF-8, or of a number with too many digits
        raise ValueError(f"{path}: not TOML: {error}") from None
    tables = content.pop("key", None)
    if content:
        raise ValueError(f"{path}: {next(iter(content))}: unknown; the file holds [[key]] tables")
    if not isinstance(tables, list) or not tables:
        raise ValueError(f"{path}: there is no [[key]] in it; leave the setting out to have none")
    fields = [_checked(path, number, table) for number, table in enumerate(tables, start=1)]
    for name in ("name", "digest"):
        seen: dict[str, int] = {}
        for number, each in enumerate(fields, start=1):
            first = seen.setdefault(getattr(each, name), number)
            if first != number:
                what = "name" if name == "name" else "key"
                raise ValueError(f"{path}: key {number} ({each.name}): {what}: key {first} has the same")
    return tuple(each.entry(default) for each in fields)


def _checked(path: str, number: int, table: Mapping[str, Any]) -> _KeyFields:
    try:
        return _KeyFields.model_validate(table)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"]))
        words = plain_words(problem)
        if problem["type"] == "extra_forbidden":
            words = f"unknown; known are {', '.join(_KeyFields.model_fields)}"
        if problem["type"] == "model_type":
            words = "must be a table, [[key]]"
        name = table.get("name") if isinstance(table, dict) and field != "name" else None
        named = f"key {number} ({name})" if isinstance(name, str) else f"key {number}"
        raise ValueError(f"{path}: {named}: {field + ': ' if field else ''}{words}") from None

"""Files of API keys: one that says what each key is entitled to (TOML), and one of plain keys, as secrets are mounted.

Owns the format of `PHEYE_KEYS_FILE` and of `PHEYE_API_KEYS_FILE`. Keys are kept as digests, and no message repeats one.
Pure but for reading files; safe from any thread or process.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from service.configuration.client_policy import ClientPolicy, Priority, check_rate, rates_of
from service.configuration.plain_words import plain_words

MOST_BYTES = 4 << 20  # of a file; some ten thousand keys
NEW_KEY_BYTES = 32  # of randomness: nothing to guess, so a plain SHA-256 of it may lie in a file


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


def split_keys(text: str) -> list[str]:
    r"""Split a list of plain keys, which commas or line breaks separate.

    >>> split_keys("one, two\nthree\n")
    ['one', 'two', 'three']
    """
    return [part.strip() for part in re.split(r"[,\r\n]", text) if part.strip()]


def plain_entry(key: str, default: ClientPolicy) -> KeyEntry:
    """Build the entry of a key that has neither a name nor a policy of its own."""
    return KeyEntry(digest_of(key.encode()), "", None, default)


def read_plain_keys(path: str, default: ClientPolicy) -> tuple[KeyEntry, ...]:
    """Read a file that holds nothing but keys, one a line or with commas between.

    Raises:
        ValueError: it cannot be read, or there is no key in it.
    """
    keys = split_keys(_text_of(path))
    if not keys:
        raise ValueError(f"{path}: there is no key in it; leave the setting out to have none")
    if any(not key.isprintable() or " " in key for key in keys):
        raise ValueError(f"{path}: a key has a space or a control character in it; write one a line")
    return tuple(plain_entry(key, default) for key in keys)


def _text_of(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: has more than {MOST_BYTES >> 20} MiB; is it a file of keys?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 (byte {error.start})") from None


def read_key_file(path: str, default: ClientPolicy) -> tuple[KeyEntry, ...]:
    """Read the keys of a TOML file; limits that a key does not name are the default's.

    Raises:
        ValueError: it cannot be read, or is wrong; the message names the line, or the key and the field.
    """
    text = _text_of(path)
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply; the file holds [[key]] tables with plain values") from None
    except ValueError as error:  # of TOML, or of a number with too many digits
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


def new_key_table(name: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    """Make a new key, and the `[[key]]` table that has its digest.

    Args:
        name: of the key, for people.
        fields: the other fields of the table; None leaves one out.

    Returns:
        The key, which is kept nowhere, and the table as TOML.

    Raises:
        ValueError: the name or a field will not do.
    """
    key = f"pheye_{secrets.token_urlsafe(NEW_KEY_BYTES)}"
    table = {"name": name, "sha256": digest_of(key.encode()), **fields}
    given = {field: value for field, value in table.items() if value is not None}
    try:
        _KeyFields.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {plain_words(problem)}") from None
    # A printable text is the same in JSON and in TOML.
    lines = [f"{field} = {json.dumps(value, ensure_ascii=False)}" for field, value in given.items()]
    return key, "\n".join(["[[key]]", *lines, ""])

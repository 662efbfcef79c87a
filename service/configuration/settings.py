"""Settings of this process: the `PHEYE_*` environment variables and their bounds, each with its unit.

Owns these variables: nothing else in the service reads them. Knows neither the checkpoint (`model.config`) nor a
request (`service.schemas.requests`). Read once, at start-up; the result is frozen and may be shared by any thread or
process.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.configuration.client_policy import ClientPolicy, rates_of
from service.configuration.fields.checks import unknown_variable
from service.configuration.fields.clients import ClientSettings
from service.configuration.fields.http import HttpSettings
from service.configuration.fields.images import ImageSettings
from service.configuration.fields.model import ModelSettings
from service.configuration.key_files import KeyEntry, plain_entry, read_key_file, read_plain_keys
from service.configuration.plain_words import plain_words, without_passwords
from service.configuration.service_links import service_links
from service.configuration.tls_files import tls_context

PREFIX = "PHEYE_"

# Field of `Settings` until 0.1 -> field since 0.2. The old name is understood as variable and as flag, with a warning,
# until the next minor version. An entry also needs a line in CHANGELOG.md and, to be read from .env, in
# docker-compose.yml; tests ask for both.
RENAMED_SETTINGS: Mapping[str, str] = {"preprocess_threads": "decoders", "keep_alive_s": "sse_ping_s"}


class SettingsError(ValueError):
    """A setting is unknown or out of range; the message names it by its variable, a line for each."""


class Settings(ClientSettings, ImageSettings, HttpSettings, ModelSettings, BaseSettings):
    """All settings of the service; fields of a later base come first."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    @property
    def most_questions(self) -> int:
        """The questions that one request may ask; all of them wait at first, so more than may wait never get in."""
        return min(self.max_questions, self.max_waiting)

    @property
    def most_body_bytes(self) -> int:
        """The bytes that one body may have; more than all together may hold would be refused however long it waits."""
        return min(self.max_body_bytes, self.max_upload_bytes)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        known, old, links = {_variable(name) for name in cls.model_fields}, old_variables(), service_links()
        values = {name: value for name, value in values.items() if not _is_from(links, name, value)}
        ours = (key for key in os.environ if key.upper().startswith(PREFIX) and key not in links)
        unknown = sorted(key for key in ours if key.upper() not in known and key not in old)
        if unknown:
            raise ValueError("; ".join(unknown_variable(key, known, PREFIX) for key in unknown))
        return {_field(new): os.environ[key] for key, new in old.items()} | values

    @model_validator(mode="after")
    def _certificate_and_key_fit(self) -> Settings:
        if self.tls_cert_file or self.tls_key_file:
            tls_context(self.tls_cert_file, self.tls_key_file)
        return self

    @model_validator(mode="after")
    def _image_folder_is_of_use(self) -> Settings:
        if self.image_folder is not None and not self.image_store_bytes:
            raise ValueError(
                f"{PREFIX}IMAGE_FOLDER: of no use, because {PREFIX}IMAGE_STORE_BYTES is 0, which turns ids off; leave "
                "one of them out"
            )
        return self

    @model_validator(mode="after")
    def _answers_fit_the_context(self) -> Settings:
        if self.default_max_tokens >= self.context_tokens:
            raise ValueError(
                f"{PREFIX}DEFAULT_MAX_TOKENS: {self.default_max_tokens} leaves no room for a prompt in "
                f"{PREFIX}CONTEXT_TOKENS, {self.context_tokens}"
            )
        return self


def default_policy(settings: Settings) -> ClientPolicy:
    """Return what a client is entitled to of which the key file says nothing."""
    return ClientPolicy(max_concurrent=settings.client_concurrency, rate=rates_of(settings.client_rate))


def accepted_keys(settings: Settings) -> dict[str, KeyEntry]:
    """Read all keys that are accepted, by their digest; of a key that is given twice the TOML file's entry counts.

    Raises:
        ValueError: a file has become wrong since the settings were checked.
    """
    default = default_policy(settings)
    entries = [plain_entry(key.get_secret_value(), default) for key in settings.api_keys]
    if settings.api_keys_file:
        entries += read_plain_keys(settings.api_keys_file, default)
    if settings.keys_file:
        entries += read_key_file(settings.keys_file, default)
    return {each.digest: each for each in entries}


def _is_from(links: Collection[str], field: str, value: Any) -> bool:
    """Say whether a field has its value from a service link, and not from a flag."""
    return _variable(field) in links and value == os.environ[_variable(field)]


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _field(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower()


def old_variables() -> dict[str, str]:
    """Name the variables in the environment that have an old name, and what each is called now."""
    renamed = {_variable(old): _variable(new) for old, new in RENAMED_SETTINGS.items()}
    return {key: renamed[key.upper()] for key in os.environ if key.upper() in renamed}


def load_settings(**flags: Any) -> Settings:
    """Load the settings from the environment, with `flags` (those of the command line that were given) on top.

    Raises:
        SettingsError: unknown or out of range; no value is repeated in the message, it may be a secret.
    """
    try:
        return Settings(**flags)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False):
            name = _variable(str(problem["loc"][0])) + ": " if problem["loc"] else ""
            lines.append(name + without_passwords(plain_words(problem)))
        raise SettingsError("\n".join(lines)) from None

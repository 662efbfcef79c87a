"""Settings of this process: the `PHEYE_*` environment variables and their bounds, each with its unit.

Owns these variables: nothing else in the service reads them. Knows neither the checkpoint (`model.config`) nor a
request (`service.schemas.requests`). Read once, at start-up; the result is frozen and may be shared by any thread or
process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.client_policy import ClientPolicy, KeyEntry, check_rate, rates_of, read_key_file
from service.plain_words import plain_words
from service.setting_checks import (
    check_devices,
    check_image_hosts,
    check_key_file,
    check_networks,
    check_origins,
    check_root_path,
    split_keys,
    split_names,
    unknown_variable,
)

PREFIX = "PHEYE_"
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"  # in all processes
GIB = 1024**3
MIB = 1024**2

# Field of `Settings` until 0.1 -> field since 0.2. The old name is understood as variable and as flag, with a warning,
# until the next minor version. An entry also needs a line in CHANGELOG.md and, to be read from .env, in
# docker-compose.yml; tests ask for both.
RENAMED_SETTINGS: Mapping[str, str] = {"preprocess_threads": "decoders", "keep_alive_s": "sse_ping_s"}


class SettingsError(ValueError):
    """A setting is unknown or out of range; the message names it by its variable, a line for each."""


_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")], ...],
    NoDecode,
    BeforeValidator(split_names),
]
_Keys = Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], NoDecode, BeforeValidator(split_keys)]


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    model: str = Field(
        default="pheye-tiny",
        min_length=1,
        description="Model to serve: `pheye-tiny`, which is built in, a folder, a hub id, or `random:NAME` for a known "
        "geometry with random weights.",
    )
    revision: str | None = Field(
        default=None, min_length=1, description="Hub revision (commit, tag or branch) of the model."
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Name under which the model is served, instead of its own.",
    )
    aliases: _Names = Field(
        default=(),
        description="Comma-separated other names under which requests may ask for the model, such as `gpt-4o-mini`; "
        "`*` takes any name.",
    )
    devices: Annotated[str, AfterValidator(check_devices)] = Field(
        default="auto",
        description="Comma-separated devices, one worker process each: `cpu`, `cuda:0`, ...; `cpu,cpu` is two workers; "
        "`auto` is the first GPU or else the CPU.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        default="auto",
        description="Number format to compute in; `auto` chooses what is fast on the device and says why; `int8` "
        "is for CPUs: the linear layers multiply in int8, which may change an answer.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Compute threads of a worker, 0 to 1024; 0 divides the machine's cores among the CPU workers and "
        "gives a small model one.",
    )
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` is every interface."
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="TCP port to listen on, 0 to 65535; 0 takes a free one."
    )
    root_path: Annotated[str, AfterValidator(check_root_path)] = Field(
        default="",
        description="Path prefix under which clients reach the service through a reverse proxy, such as `/pheye`, "
        "whether the proxy strips it or not; empty for none.",
    )
    slots: int = Field(
        default=0,
        ge=0,
        le=512,
        description="Answers generated at the same time by one worker, 1 to 512; 0 takes as many as a GPU's memory "
        "holds, up to 64, and 8 on a CPU.",
    )
    context_tokens: int = Field(
        default=1024, ge=64, le=2048, description="Tokens a slot holds, prompt and answer together, 64 to 2048."
    )
    stall_s: float = Field(
        default=0.25,
        ge=0.0,
        le=60.0,
        description="Seconds per step that encoding and prefilling of new requests may delay the running answers, 0 to "
        "60; a target: at least one tile is always encoded.",
    )
    max_waiting: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Answers that the waiting queue holds before new requests get 429, 1 to 100000; a client below its "
        "fair share is let in until there are twice as many.",
    )
    strict: bool = Field(
        default=False,
        description="Whether chats and moondream's clients are refused fields that would have no effect, instead of "
        "an answer that names them in `X-Pheye-Ignored`.",
    )
    max_questions: int = Field(
        default=16, ge=1, le=256, description="Questions one request may ask about its image, 1 to 256."
    )
    default_max_tokens: int = Field(
        default=256, ge=1, le=2048, description="Tokens an answer may have when its request does not say, 1 to 2048."
    )
    deadline_s: float = Field(
        default=300.0,
        ge=0.1,
        le=86_400.0,
        description="Seconds after which an unfinished request gets 504, 0.1 to 86400.",
    )
    drain_delay_s: float = Field(
        default=0.0,
        ge=0.0,
        le=600.0,
        description="Seconds for which new work is still accepted after SIGTERM, while `/readyz` is 503 already, so "
        "that a load balancer can turn to others (lame duck), 0 to 600.",
    )
    drain_grace_s: float = Field(
        default=30.0,
        ge=0.0,
        le=3600.0,
        description="Seconds that running work gets to finish after SIGTERM and the delay (graceful shutdown), 0 to "
        "3600.",
    )
    step_timeout_s: float = Field(
        default=120.0,
        ge=2.0,
        le=3600.0,
        description="Seconds without progress after which a worker is killed and replaced, 2 to 3600; an idle worker "
        "reports once a second.",
    )
    feature_cache_bytes: int | None = Field(
        default=None,
        ge=0,
        le=1024 * GIB,
        description="Bytes of image features a worker keeps for reuse, 0 (none) to 1 TiB; absent: what the slots leave "
        "of a GPU's memory, and 1 GiB on a CPU.",
    )
    gpu_memory_share: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Share of a GPU's memory to plan with, above 0 up to 1; workers on one GPU divide it.",
    )
    max_body_bytes: int = Field(
        default=20 * MIB, ge=1024, le=GIB, description="Bytes of the largest request body accepted, 1 KiB to 1 GiB."
    )
    max_upload_bytes: int = Field(
        default=512 * MIB,
        ge=MIB,
        le=1024 * GIB,
        description="Bytes that the bodies of all requests under way may hold together, 1 MiB to 1 TiB; a client may "
        "hold as many as are still free, beyond it 429.",
    )
    max_connections: int = Field(
        default=0,
        ge=0,
        le=60_000,
        description="Open connections, 1 to 60000; at the bound the oldest idle one goes. 0 takes what the limit of "
        "open files leaves, up to 2048.",
    )
    head_timeout_s: float = Field(
        default=10.0,
        ge=0.5,
        le=600.0,
        description="Seconds in which the head of a request must be complete, from the start of the connection or from "
        "the first byte of a later request, 0.5 to 600.",
    )
    body_timeout_s: float = Field(
        default=120.0,
        ge=1.0,
        le=3600.0,
        description="Seconds in which the body of a request must be complete, 1 to 3600; beyond it 408.",
    )
    idle_timeout_s: float = Field(
        default=75.0,
        ge=1.0,
        le=3600.0,
        description="Seconds for which a connection without a request stays open (keep-alive), 1 to 3600; longer than "
        "proxies keep theirs, or they reuse one that is just being closed.",
    )
    image_store_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        le=1024 * GIB,
        description="Bytes of uploaded images kept for requests that name them by id, 0 (no ids) to 1 TiB.",
    )
    image_ttl_s: float = Field(
        default=3600.0,
        ge=1.0,
        le=31_536_000.0,
        description="Seconds after its latest upload at which a kept image is dropped, 1 to 31536000 (a year).",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1024,
        le=1_000_000_000,
        description="Pixels (width x height) of the largest image, 1024 to 1e9.",
    )
    decoders: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Processes that decode and tile images, 1 to 64; in commands that need no server, threads.",
    )
    decode_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=3600.0,
        description="Seconds that decoding one image may take before it is refused, 0.1 to 3600.",
    )
    exact_decoding: bool = Field(
        default=False,
        description="Whether a JPEG much larger than the tiles is decoded at full size; else at a half, a quarter or "
        "an eighth of it, no smaller than twice the largest view, which is several times as fast.",
    )
    image_hosts: Annotated[str, AfterValidator(check_image_hosts)] = Field(
        default="",
        description="Comma-separated hosts from which images are fetched by URL: `example.org`, `*.example.org`, "
        "`example.org:8443` for a port that is not 80 or 443, `*` for any public address; addresses that are not "
        "public only if they, or a network such as `10.0.0.0/8`, are listed too. Empty: no image is fetched.",
    )
    image_fetches: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Images fetched at the same time, 1 to 1024; a client has at most as many under way as are left.",
    )
    image_fetch_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=3600.0,
        description="Seconds that fetching one image may take, from its host's name to its last byte, 0.1 to 3600.",
    )
    api_keys: _Keys = Field(
        default=(), description="Comma-separated API keys, each of which is accepted; without any, no key is needed."
    )
    keys_file: Annotated[str, AfterValidator(check_key_file)] = Field(
        default="",
        description="File of API keys with a group, weight, limits and priority for each (TOML); they are accepted "
        "beside those of `PHEYE_API_KEYS`.",
    )
    client_concurrency: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Requests that one client may have under way, 1 to 100000, unless `PHEYE_KEYS_FILE` says "
        "otherwise for its key; 0 for any number. A client is an API key, or an address where no key is asked for.",
    )
    client_rate: Annotated[str, AfterValidator(check_rate)] = Field(
        default="",
        description="Rate limit of one client, such as `60/minute` or `10/second; 1000/hour`, unless `PHEYE_KEYS_FILE` "
        "says otherwise for its key; empty for none.",
    )
    share_image_features: bool = Field(
        default=False,
        description="Whether API keys share image features, and with them the ids of equal images; they can then tell "
        "what images others have sent.",
    )
    trusted_proxies: Annotated[str, AfterValidator(check_networks)] = Field(
        default="",
        description="Comma-separated addresses or networks of reverse proxies whose `X-Forwarded-For` names the "
        "client; without any, the client is whoever connects.",
    )
    cors_origins: Annotated[str, AfterValidator(check_origins)] = Field(
        default="",
        description="Comma-separated origins of web pages that may call the service from a browser (CORS), such as "
        "`https://app.example.org`; `*` for any, empty for none but its own.",
    )
    sse_ping_s: float = Field(
        default=15.0,
        ge=0.1,
        le=3600.0,
        description="Seconds of silence in a stream (SSE) before a comment that keeps it open (ping), 0.1 to 3600.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level of the log lines that are written."
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        known, old = {_variable(name) for name in cls.model_fields}, old_variables()
        ours = (key for key in os.environ if key.upper().startswith(PREFIX))
        unknown = sorted(key for key in ours if key.upper() not in known and key not in old)
        if unknown:
            raise ValueError("; ".join(unknown_variable(key, known, PREFIX) for key in unknown))
        return {_field(new): os.environ[key] for key, new in old.items()} | values

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


def key_entries(settings: Settings) -> tuple[KeyEntry, ...]:
    """Read the key file, if there is one.

    Raises:
        ValueError: it has become wrong since the settings were checked.
    """
    return read_key_file(settings.keys_file, default_policy(settings)) if settings.keys_file else ()


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
            lines.append(name + plain_words(problem))
        raise SettingsError("\n".join(lines)) from None

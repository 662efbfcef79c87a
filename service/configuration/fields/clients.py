"""Settings of clients: the waiting queue, limits of a request, API keys, fairness.

Each with its unit and bounds. Pure data.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from service.configuration.client_policy import check_rate
from service.configuration.fields.checks import check_key_file, check_networks, check_plain_keys, keys_in

_Keys = Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], NoDecode, BeforeValidator(keys_in)]


class ClientSettings(BaseModel):
    """The settings of what a request and a client may have."""

    max_waiting: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Answers that may wait for a slot before new requests get 429, 1 to 100000. A client below "
        "its fair share is admitted until twice as many wait.",
    )
    max_questions: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Questions one request may ask about its image, 1 to 256, and at most `PHEYE_MAX_WAITING`.",
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
    api_keys: _Keys = Field(
        default=(),
        description="Comma-separated API keys, each of which is accepted; without any, no key is needed. Never on a "
        "command line, where every user of the machine could read them.",
    )
    api_keys_file: Annotated[str, AfterValidator(check_plain_keys)] = Field(
        default="",
        description="File with nothing but API keys, one a line, such as a mounted secret; accepted beside "
        "`PHEYE_API_KEYS`, and read again when it changes.",
    )
    keys_file: Annotated[str, AfterValidator(check_key_file)] = Field(
        default="",
        description="File of API keys with a name, group, weight, limits and priority for each (TOML); accepted beside "
        "`PHEYE_API_KEYS`, and read again when it changes. `pheye keys new NAME` makes an entry.",
    )
    client_concurrency: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Requests that one client may have in flight, 1 to 100000; 0 for any number. "
        "`PHEYE_KEYS_FILE` may set another limit for a key. A client is an API key, or an address "
        "where no key is asked for.",
    )
    client_rate: Annotated[str, AfterValidator(check_rate)] = Field(
        default="",
        description="Rate limit of one client, such as `60/minute` or `10/second; 1000/hour`; empty for none. "
        "`PHEYE_KEYS_FILE` may set another limit for a key.",
    )
    share_image_features: bool = Field(
        default=False,
        description="Whether API keys share image features and the ids of equal images. That saves encoding, but "
        "lets a key tell which images others have sent.",
    )
    trusted_proxies: Annotated[str, AfterValidator(check_networks)] = Field(
        default="",
        description="Comma-separated addresses or networks of reverse proxies. Only they may name the client in "
        "`X-Forwarded-For`; without any, the client is whoever connects.",
    )

"""Settings of HTTP: where to listen, connections and their time limits, streams, the log.

Each with its unit and bounds. Pure data.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from service.byte_units import GIB, MIB
from service.configuration.fields.checks import check_host_names, check_origins, check_root_path
from service.logs import LogFormat


class HttpSettings(BaseModel):
    """The settings of the listening socket, of connections and of what is said on them."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` is every interface."
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="TCP port to listen on, 0 to 65535; 0 takes a free one."
    )
    tls_cert_file: str = Field(
        default="",
        description="File with the certificate for TLS and the chain behind it (PEM), if no reverse proxy does TLS; "
        "read again when it changes. With it only HTTPS is spoken.",
    )
    tls_key_file: str = Field(
        default="", description="File with the private key of `PHEYE_TLS_CERT_FILE` (PEM, without a passphrase)."
    )
    root_path: Annotated[str, AfterValidator(check_root_path)] = Field(
        default="",
        description="Path prefix under which clients reach the service through a reverse proxy, such as `/pheye`, "
        "whether the proxy strips it or not; empty for none.",
    )
    cors_origins: Annotated[str, AfterValidator(check_origins)] = Field(
        default="",
        description="Comma-separated origins of web pages that may call the service from a browser (CORS), such as "
        "`https://app.example.org`; `*` for any, empty for none but its own.",
    )
    mcp: bool = Field(
        default=False,
        description="Whether agents may call the service by the Model Context Protocol (MCP), at `/mcp`; needs the "
        "extra `mcp`.",
    )
    mcp_hosts: Annotated[str, AfterValidator(check_host_names)] = Field(
        default="",
        description="Comma-separated host names under which agents reach `/mcp`, such as `pheye.example.org`; "
        "`localhost` and IP addresses are always accepted. Any other name gets 403: a web page may "
        "have made it point here (DNS rebinding).",
    )
    strict: bool = Field(
        default=False,
        description="Whether chats and moondream's clients get an error for a field that would have no effect, "
        "instead of an answer that names it in `X-Pheye-Ignored`. Hints that cannot change an answer "
        "are accepted in either case.",
    )
    max_body_bytes: int = Field(
        default=20 * MIB,
        ge=1024,
        le=GIB,
        description="Bytes of the largest request body accepted, 1 KiB to 1 GiB, and at most `PHEYE_MAX_UPLOAD_BYTES`.",
    )
    max_upload_bytes: int = Field(
        default=512 * MIB,
        ge=MIB,
        le=1024 * GIB,
        description="Bytes that the bodies of all requests in flight may hold together, 1 MiB to 1 TiB. One "
        "client may hold as many as are still free, beyond it 429.",
    )
    max_connections: int = Field(
        default=0,
        ge=0,
        le=60_000,
        description="Open connections, 1 to 60000. At the bound, connections without a complete request are "
        "closed to make room. 0 takes what the limit of open files leaves, up to 2048.",
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
        description="Seconds for which a connection without a request stays open (keep-alive), 1 to 3600. Set it "
        "longer than your proxy's, or the proxy reuses a connection that is being closed and answers "
        "502.",
    )
    sse_ping_s: float = Field(
        default=15.0,
        ge=0.1,
        le=3600.0,
        description="Seconds of silence in a stream (SSE) before a comment that keeps it open (ping), 0.1 to 3600.",
    )
    drain_delay_s: float = Field(
        default=0.0,
        ge=0.0,
        le=600.0,
        description="Seconds for which new work is still accepted after SIGTERM, 0 to 600. `/readyz` is already "
        "503, so that load balancers stop sending (lame duck).",
    )
    drain_grace_s: float = Field(
        default=30.0,
        ge=0.0,
        le=3600.0,
        description="Seconds that running work gets to finish after SIGTERM and the delay (graceful shutdown), 0 to "
        "3600.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level of the log lines that are written."
    )
    log_format: LogFormat = Field(
        default="text",
        description="Format of the log lines of all processes: `text`, or `json` with one object a line. With "
        "`json`, each request also has a line with its client, its costs and the reason if it was "
        "refused.",
    )
    log_texts: bool = Field(
        default=False,
        description="Whether the line of a request shows its prompts and answers, and the field values that a "
        "refusal quotes. They may be private. Images and keys are never shown.",
    )

"""Probes of what is around a server on this machine: software, processor, port, files, keys, settings.

Needs no torch. Each returns within seconds, or its caller stops waiting. Any thread.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx

from model.machine.processor import MATRIX_FLAGS, processor
from service.api.connections.descriptors import plan_connections, raise_descriptor_limit
from service.api.server import listen
from service.batch.answerers.bounded_http import ask
from service.configuration.key_files import read_key_file, read_plain_keys
from service.configuration.plain_words import plain_value
from service.configuration.settings import PREFIX, Settings, SettingsError, default_policy
from service.machine.finding import Finding, masked_value
from service.machine.listener import listener_of
from service.machine.workers import with_workers
from service.mcp.extra import ExtraMissing, check_extra
from service.schemas.service_card import ServiceCard

PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "peft", "huggingface-hub", "pillow", "fastapi", "starlette",
    "uvicorn", "pydantic", "httpx",
)  # fmt: skip
EXTRAS = (
    "numba", "mcp", "pillow-heif", "pyarrow", "nvidia-ml-py", "triton", "opentelemetry-sdk", "accelerate",
)  # fmt: skip
VARIABLES = (
    "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "TMPDIR", "LD_PRELOAD",
)  # fmt: skip
ASK_S = 2.0
LEAST_SPACE_BYTES = 64 << 20


def versions(settings: Settings) -> Sequence[Finding]:
    """List this software and the packages that it stands on."""
    own = f"pheye-service {_version('pheye-service')}, Python {platform.python_version()}, {platform.platform()}"
    needed = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    extras = ", ".join(f"{name} {_version(name)}" for name in EXTRAS)
    missing = [f"the package {name} is not installed; install pheye-service anew" for name in _missing()]
    if settings.mcp:
        missing += _missing_mcp()
    return [Finding("versions", (own, needed, f"extras: {extras}"), tuple(missing))]


def _missing_mcp() -> list[str]:
    try:
        check_extra()
    except ExtraMissing as error:
        return [f"PHEYE_MCP: {error}"]
    return []


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _missing() -> list[str]:
    return [name for name in PACKAGES if _version(name) == "not installed"]


def cpu() -> Sequence[Finding]:
    """Name the processor and those of its instructions that matter here."""
    name, flags = processor()
    known = [flag for flag in MATRIX_FLAGS if flag in flags]
    return [Finding("processor", (f"{name}; {' '.join(known) or 'no matrix instructions known'}",))]


def port(settings: Settings, expected: str | None) -> Sequence[Finding]:
    """Find out whether a server could listen, and if not, who does.

    Args:
        settings: with the address.
        expected: URL of the server that is asked about; that one may listen there.
    """
    where = f"{settings.host} port {settings.port}"
    try:
        listen(settings.host, settings.port).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            reason = error.strerror or str(error)
            return [Finding("port", (f"{where}: {reason}",), (f"{where}: {reason}; choose others: --host, --port",))]
        holder = listener_of(settings.port)
        shown = f"{where} is taken by {holder or 'a process that this user cannot see'}{_service_at(settings.port)}"
        if expected is not None and httpx.URL(expected).port == settings.port and _is_local(httpx.URL(expected).host):
            return [Finding("port", (f"{shown}, which is the server asked about",))]
        return [Finding("port", (shown,), (f"{shown}; stop it, or choose another port: --port",))]
    return [Finding("port", (f"{where} is free",))]


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _service_at(number: int) -> str:
    """Say whether a Pheye service answers there."""
    try:
        connection = {"base_url": f"http://127.0.0.1:{number}", "timeout": ASK_S, "trust_env": False}
        answer = ask(connection, "/v1", ASK_S)
        card = ServiceCard.model_validate_json(answer.content)
    except (httpx.HTTPError, ValueError):
        return ""
    return f", a Pheye service of version {plain_value(card.version)} with the model {plain_value(card.model)}"


def open_files(settings: Settings) -> Sequence[Finding]:
    """Find out how many connections the limit of open files leaves."""
    workers = len(with_workers(settings).devices.split(","))
    fetches = settings.image_fetches if settings.image_hosts else 0
    limit = raise_descriptor_limit()
    try:
        plan = plan_connections(limit, workers, settings.max_connections, fetches)
    except SettingsError as error:
        return [Finding("open files", (f"{limit} allowed",), (str(error),))]
    return [Finding("open files", (f"{limit} allowed, which leaves {plan.most} connections",))]


def temporary_space() -> Sequence[Finding]:
    """Find out whether there is a folder for temporary files, and how much fits into it."""
    try:
        folder = tempfile.gettempdir()
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        words = f"no temporary file can be written ({error.strerror or error}); make room, or set TMPDIR"
        return [Finding("temporary space", (words,), (words,))]
    free = shutil.disk_usage(folder).free
    shown = f"{folder}: {free / 1e9:.1f} GB free"
    full = (f"{shown}; make room, or set TMPDIR",) if free < LEAST_SPACE_BYTES else ()
    return [Finding("temporary space", (shown,), full)]


def keys(settings: Settings) -> Sequence[Finding]:
    """Count the keys that are set, and show none of them."""
    default = default_policy(settings)
    plain = read_plain_keys(settings.api_keys_file, default) if settings.api_keys_file else ()
    entries = read_key_file(settings.keys_file, default) if settings.keys_file else ()
    asked = len(settings.api_keys) + len(plain) + len(entries)
    open_host = not asked and not _is_local(settings.host)
    shown = [
        f"{len(settings.api_keys)} in PHEYE_API_KEYS, {len(plain)} in PHEYE_API_KEYS_FILE, "
        f"{len(entries)} in PHEYE_KEYS_FILE"
    ]
    shown.append(f"HF_TOKEN is {'set' if os.environ.get('HF_TOKEN') else 'not set'}")
    if open_host:
        shown.append(f"no key is asked for, and {settings.host} is open to the network")
    return [Finding("keys", (", ".join(shown),))]


def changed_settings(settings: Settings, environment: Mapping[str, str] = os.environ) -> Sequence[Finding]:
    """List the settings that differ from their defaults, with secrets masked, and what else has a say."""
    changed = [
        f"{name}={masked_value(name, getattr(settings, field))}"
        for field, about in Settings.model_fields.items()
        if getattr(settings, field) != about.default and (name := f"{PREFIX}{field.upper()}")
    ]
    names = [*VARIABLES, *map(str.lower, VARIABLES)]
    around = [f"{name}={masked_value(name, environment[name])}" for name in names if name in environment]
    return [
        Finding("settings", (", ".join(changed) or "all have their defaults",)),
        Finding("environment", (", ".join(around) or "nothing that matters",)),
    ]


def home_hidden(text: str) -> str:
    """Shorten the user's own folder, which has their name in it, to a tilde."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text

"""Tables of the settings for the documentation: all of them by group, or a few by name.

Owns the groups. Settings themselves, their defaults and their meanings are `service.configuration.settings`'. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from service.cli.dev.docs.markdown import code, table
from service.configuration.rows import SettingRow, setting_rows
from service.configuration.settings import PREFIX

GROUPS: Mapping[str, Sequence[str]] = {
    "Model": ("model", "revision", "name", "aliases"),
    "Devices and number format": ("devices", "dtype", "compiled_code", "threads"),
    "Network": ("host", "port", "tls_cert_file", "tls_key_file", "root_path", "trusted_proxies", "cors_origins"),
    "Clients: keys and limits": (
        "keys_file", "api_keys_file", "api_keys", "client_concurrency", "client_rate", "share_image_features",
    ),
    "Connections": ("max_connections", "head_timeout_s", "body_timeout_s", "idle_timeout_s", "sse_ping_s"),
    "Batching and caches": (
        "slots", "context_tokens", "stall_s", "feature_cache_bytes", "feature_folder", "feature_folder_bytes",
        "prepared_weights_folder", "gpu_memory_share",
    ),
    "Admission control and limits of a request": (
        "max_waiting", "max_questions", "default_max_tokens", "deadline_s", "max_body_bytes", "max_upload_bytes",
        "max_pixels",
    ),
    "Compatibility": ("strict",),
    "Agents (MCP)": ("mcp", "mcp_hosts"),
    "Decoding of images": ("decoders", "decode_timeout_s", "exact_decoding"),
    "Images by URL": ("image_hosts", "image_fetches", "image_fetch_timeout_s"),
    "Uploaded images": ("image_store_bytes", "image_folder", "image_folder_bytes", "image_ttl_s"),
    "Graceful shutdown and restarts": ("drain_delay_s", "drain_grace_s", "step_timeout_s"),
    "Log": ("log_level", "log_format", "log_texts"),
}  # fmt: skip


def settings(names: Sequence[str]) -> str:
    """Write the tables of settings.

    Args:
        names: those to show, in one table; none means all of them, a heading and a table for each group.

    Raises:
        ValueError: a name is no setting, or a setting is in no group.
    """
    rows = {row.variable.removeprefix(PREFIX).lower(): row for row in setting_rows()}
    grouped = [name for group in GROUPS.values() for name in group]
    if sorted(grouped) != sorted(rows):
        raise ValueError(f"in no group, or in two, or no setting: {', '.join(_difference(grouped, rows))}")
    if unknown := [name for name in names if name not in rows]:
        raise ValueError(f"no such setting: {', '.join(unknown)}")
    if names:
        return _table(rows[name] for name in names)
    return "\n\n".join(f"## {title}\n\n{_table(rows[name] for name in group)}" for title, group in GROUPS.items())


def _difference(grouped: Sequence[str], rows: Iterable[str]) -> list[str]:
    twice = {name for name in grouped if grouped.count(name) > 1}
    return sorted(set(grouped).symmetric_difference(rows) | twice)


def _table(rows: Iterable[SettingRow]) -> str:
    lines = [(code(row.variable), code(row.flag), code(row.default), row.description) for row in rows]
    return table(("Variable", "Flag", "Default", "Meaning"), lines)

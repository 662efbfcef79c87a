"""The optional `mcp` package, the official Python SDK of the Model Context Protocol: whether it is there.

Imports nothing of it. Any thread.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

LEAST = 2  # major version
INSTALL = 'install it with: pip install "pheye-service[mcp]"'


class ExtraMissing(ValueError):
    """The SDK is not installed, or is too old; the message says how to get it."""


def check_extra() -> None:
    """Check that the SDK is installed.

    Raises:
        ExtraMissing: it is not, or in an older version.
    """
    try:
        installed = version("mcp")
    except PackageNotFoundError:
        raise ExtraMissing(f"the Python package mcp is not installed, which speaks MCP; {INSTALL}") from None
    if int(installed.partition(".")[0]) < LEAST:
        raise ExtraMissing(f"the Python package mcp is installed as {installed}, and {LEAST}.0 is needed; {INSTALL}")

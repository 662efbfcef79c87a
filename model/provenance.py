"""Provenance of weights, as plain data to keep beside them: commit, command, versions.

Asks git and the installed packages; knows no model. Any thread.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("pheye-service", "torch", "transformers", "peft", "accelerate", "pillow")


def provenance() -> dict[str, Any]:
    """Return the commit of the source ("unknown" where there is no repository), the command typed, and versions."""
    return {
        "commit": commit(Path(__file__).parent),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES},
    }


def commit(folder: Path) -> str:
    """Return the commit that is checked out there, marked if files differ from it; "unknown" outside a repository."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, no user text
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"

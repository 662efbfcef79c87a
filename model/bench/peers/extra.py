"""Packages of the extra `peers`: whether they are there, and which versions. Imports none of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

LLAMA, OPENVINO = "llama.cpp", "OpenVINO"
PACKAGES = {LLAMA: ("xllamacpp", "gguf"), OPENVINO: ("openvino",)}  # of each peer
INSTALL = 'pip install -c constraints.txt -e ".[peers]"'


class PeersMissing(ValueError):
    """A peer's package is not installed; the message says how to get it."""


def peer_versions(peers: Iterable[str]) -> dict[str, str]:
    """Return the version of every package of these peers.

    Raises:
        PeersMissing: one is not installed.
    """
    found, missing = {}, []
    for name in sorted({package for peer in peers for package in PACKAGES[peer]}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        words = f"{', '.join(missing)}, which --peers compares with, {'is' if len(missing) == 1 else 'are'}"
        raise PeersMissing(f"{words} not installed; install the extra peers in a clone of the repository: {INSTALL}")
    return found

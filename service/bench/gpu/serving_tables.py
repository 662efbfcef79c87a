"""The service under load, in tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from service.bench.gpu.journal import Outcome


def serving(outcomes: Sequence[Outcome]) -> list[str]:
    """Load, baseline, kill and soak."""
    return []

"""The service under load, in tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from service.bench.gpu.journal import ItemOutcome


def serving(outcomes: Sequence[ItemOutcome]) -> list[str]:
    """Load, baseline, kill and soak."""
    return []

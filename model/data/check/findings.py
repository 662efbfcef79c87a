"""Findings of a check: errors, which training would stop at, and warnings, each with its first places. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_PLACES = 5  # of each kind that are named before the rest are counted


@dataclass(slots=True)
class ManifestFault:
    """Mistakes of one kind.

    Attributes:
        what: the same words for all of the kind.
        is_error: whether training would stop at it.
        count: how many there are.
        places: the first few: line, field and what stands there.
    """

    what: str
    is_error: bool
    count: int = 0
    places: list[str] = field(default_factory=list)


class ManifestFindings:
    """Findings by kind, in the order in which they were met."""

    def __init__(self) -> None:
        self._found: dict[str, ManifestFault] = {}

    def error(self, what: str, place: str) -> None:
        """Add a mistake that training would stop at."""
        self._add(what, place, is_error=True)

    def warning(self, what: str, place: str) -> None:
        """Add something that is probably not meant."""
        self._add(what, place, is_error=False)

    def __iter__(self) -> Iterator[ManifestFault]:
        return iter(sorted(self._found.values(), key=lambda finding: not finding.is_error))

    def _add(self, what: str, place: str, *, is_error: bool) -> None:
        finding = self._found.setdefault(what, ManifestFault(what, is_error))
        finding.count += 1
        if len(finding.places) < _PLACES:
            finding.places.append(place.replace("\n", "\\n"))

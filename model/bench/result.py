"""Results of a benchmark run as plain data: one for each workload, size and number format. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from model.bench.machine import Machine
from model.bench.plan import Section
from model.bench.roofline.ceilings import Ceilings
from model.bench.roofline.floors import Floor
from model.bench.timing import Race

SCHEMA_VERSION = 1
ALIKE = 0.9999  # in float32, sides that agree less than this have computed different things


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Timing of one milestone of one workload.

    Attributes:
        model: name of the geometry.
        dtype: number format of the fast path; the naive twin computes that of int8 and int4 in float32.
        workload: what was done.
        rows: answers (images, for `encode`) at once.
        images: that the rows looked at.
        race: seconds of both sides, and their ratio.
        tokens: made by each side, over all rows.
        agreement: share of equal tokens; for `encode`, the least cosine between features.
        floor: the least time that the machine could take.
        peak_bytes: most memory this process has held during the workload, both sides and their inputs included.
    """

    model: str
    dtype: str
    workload: str
    rows: int
    images: int
    race: Race
    tokens: int
    agreement: float
    floor: Floor
    peak_bytes: int

    @property
    def share_of_ceiling(self) -> float:
        """Least possible time over the fast path's."""
        return self.floor.seconds / self.race.fast_s.median

    @property
    def tokens_per_s(self) -> float:
        """Throughput of the fast path; 0 where no tokens are made."""
        return self.tokens / self.race.fast_s.median

    @property
    def wrong(self) -> bool:
        """True if both sides should have made the same and have not."""
        return self.dtype == "float32" and not self.agreement >= ALIKE

    @property
    def label(self) -> str:
        """Description of the work in words.

        >>> BenchResult("m", "float32", "decode", 4, 1, None, 4, 1.0, None, 0).label
        'decode, 4 rows, one image'
        """
        unit = "image" if self.workload == "encode" else "row"
        words = [self.workload.replace("_", " ")]
        if self.rows > 1:
            words.append(f"{self.rows} {unit}s")
            words += ["one image"] * (self.images == 1)
        return ", ".join(words)

    def as_json(self) -> dict[str, Any]:
        """Return the fields and the values derived from them."""
        derived = {"share_of_ceiling": self.share_of_ceiling, "fast_tokens_per_s": self.tokens_per_s}
        baseline = {"baseline_tokens_per_s": self.tokens / self.race.baseline_s.median}
        return asdict(self) | derived | baseline | {"wrong": self.wrong}


@dataclass(frozen=True, slots=True)
class CachedImage:
    """Bytes of one image's features in the cache, measured and expected."""

    model: str
    dtype: str
    cached_bytes: int
    formula_bytes: int  # one tensor of features, and nothing else


@dataclass(frozen=True, slots=True)
class SpeedTarget:
    """Least speed that the fast path should reach.

    Attributes:
        device: `cpu` or `cuda`.
        model, workload, dtype, rows, images: whose result counts.
        ratio: least baseline over fast, if asked for.
        share: least share of the ceiling, if asked for.
    """

    device: str
    model: str
    workload: str
    dtype: str
    rows: int
    images: int
    ratio: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Target, the result it is held against, and whether it is met."""

    target: SpeedTarget
    result: BenchResult
    met: bool


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Results of a whole run; `sections` is its plan."""

    sections: tuple[Section, ...]
    machine: Machine
    commit: str
    ceilings: tuple[Ceilings, ...]
    results: tuple[BenchResult, ...]
    cached: tuple[CachedImage, ...]
    verdicts: tuple[Verdict, ...]

    def as_json(self, others: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything, with figures that other programs measured in the same run."""
        verdicts: Iterable[dict[str, Any]] = (asdict(each.target) | {"met": each.met} for each in self.verdicts)
        return {
            "schema_version": SCHEMA_VERSION,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": self.commit,
            "machine": asdict(self.machine),
            "sections": [asdict(each) for each in self.sections],
            "ceilings": [asdict(each) for each in self.ceilings],
            "results": [each.as_json() for each in self.results],
            "cached_images": [asdict(each) for each in self.cached],
            "targets": list(verdicts),
            **others,
        }

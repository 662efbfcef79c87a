"""Plan of a benchmark run: models, number formats, workloads and how many rows each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from model.bench.workloads import KINDS
from model.checkpoint.checkpoint import RANDOM
from model.complexity import PAPER_TEXT_TOKENS

DTYPES = ("float32", "bfloat16", "int8", "int4")
MEMORY = "memory"  # not timed: what a cached image takes
WORKLOADS = (*KINDS, MEMORY)
BY_ROWS = ("prefill", "decode")  # --rows chooses how many rows of these, --images how many images of the others
BY_IMAGES = ("encode", "caption")

Work = Mapping[str, tuple[int, ...]]  # workload -> numbers of rows
_EVERYTHING: Work = {
    "encode": (1,),
    "prefill": (1, 4),
    "decode": (1, 4, 8),
    "caption": (1,),
    "second": (1,),
    "questions": (4,),
    MEMORY: (1,),
}
_ON_CPU, _ON_GPU = ("float32", "int8"), ("bfloat16",)
_CPU_REPEATS, _CPU_LONG_REPEATS = 3, 2  # of full size; more would take this past what anybody waits for
_X4, _X2 = f"{RANDOM}Pheye-x4-448", f"{RANDOM}Pheye-x2-672"
_GPU_WORK: Work = {
    **_EVERYTHING,
    "encode": (1, 8),
    "decode": (1, 2, 4, 8, 16, 32, 64),
    "caption": (1, 32),
}


@dataclass(frozen=True, slots=True)
class Section:
    """Part of a run that measures one model.

    Attributes:
        model: `random:NAME`, the built-in model, a folder or a hub id.
        dtypes: number formats of the fast path, one after another.
        work: what to time.
        repeats: pairs of turns.
        long_repeats: pairs of turns where one takes many seconds; None for as many as otherwise.
        prompt_tokens: of the longest prompt.
        shared_image: whether rows of a batch look at one image.
    """

    model: str
    dtypes: tuple[str, ...]
    work: Work = field(default_factory=lambda: _EVERYTHING)
    repeats: int = 5
    long_repeats: int | None = None
    prompt_tokens: int = PAPER_TEXT_TOKENS
    shared_image: bool = False

    @property
    def name(self) -> str:
        """Name of the model in results: its geometry, since speed depends on nothing else."""
        return self.model.removeprefix(RANDOM).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class PlanOverrides:
    """User's changes to the plan; None (or empty) leaves it as planned."""

    dtypes: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    images: tuple[int, ...] = ()
    only: tuple[str, ...] = ()
    repeats: int | None = None
    prompt_tokens: int | None = None
    shared_image: bool = False

    def applied_to(self, section: Section) -> Section:
        """Return the section with the user's changes."""
        counts = dict.fromkeys(BY_ROWS, self.rows) | dict.fromkeys(BY_IMAGES, self.images)
        work = {
            name: counts.get(name) or planned
            for name, planned in section.work.items()
            if not self.only or name in self.only
        }
        return replace(
            section,
            work=work,
            dtypes=self.dtypes or section.dtypes,
            repeats=self.repeats or section.repeats,
            long_repeats=None if self.repeats else section.long_repeats,
            prompt_tokens=self.prompt_tokens or section.prompt_tokens,
            shared_image=self.shared_image,
        )


def plan(device: str, models: Sequence[str], *, quick: bool) -> tuple[Section, ...]:
    """Plan a run on `cpu` or `cuda`: a section for each given model, or the models of the targets if none is given."""
    dtypes, work = (_ON_CPU, _EVERYTHING) if device == "cpu" else (_ON_GPU, _GPU_WORK)
    if models:
        return tuple(Section(model, dtypes, _EVERYTHING if quick else work) for model in models)
    if quick:
        return _quick(dtypes)
    if device == "cpu":
        return (
            Section(_X4, dtypes, {**_EVERYTHING, "decode": (1, 4)}, _CPU_REPEATS, _CPU_LONG_REPEATS),
            Section(_X2, dtypes, {"decode": (1, 8), MEMORY: (1,)}, _CPU_REPEATS, _CPU_LONG_REPEATS),
        )
    geometries = ("Pheye-x4-448", "Pheye-x4-672", "Pheye-x2-448", "Pheye-x2-672")
    return tuple(Section(RANDOM + geometry, dtypes, work, repeats=3) for geometry in geometries)


def _quick(dtypes: tuple[str, ...]) -> tuple[Section, ...]:
    """Plan the whole built-in model, and at full size only the most telling work (some four minutes on two cores)."""
    return (
        Section("pheye-tiny", dtypes),
        Section(_X4, dtypes, {"decode": (1,), MEMORY: (1,)}),
        Section(_X4, dtypes[:1], {"encode": (1,)}, repeats=2),
    )

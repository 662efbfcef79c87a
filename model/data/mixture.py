"""Training data of pheye-tiny: the endless synthetic world, with easy-VQA's training split mixed in.

Knows no tokens. Sent to the loader's worker processes, which paint and open the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model.data.importers.easy_vqa import easy_vqa_source
from model.data.manifest import ManifestSource
from model.data.outside.pictures import Pictures
from model.data.outside.signs import PhotographedSigns
from model.data.outside.source import OutsideSource
from model.data.samples import ENDLESS, Sample, Source
from model.data.things.collecting import TRAINED_STYLES
from model.data.things.pictures import ThingPictures
from model.data.things.source import NamelessThings, ThingSource
from model.data.world.sign_texts import varied_sign_text
from model.data.world.source import WorldSource

_EASY_EVERY = 6  # one sample in so many is easy-VQA's
_EASY_SELDOM = 24  # where its questions are answered already
_CROWDS = (6, 12, 40)
_KINDS = (  # of the stream among pictures outside the world, in turns
    "outside", "photographed", "inside", "photographed", "inside", "photographed",
    "outside", "photographed", "inside", "photographed", "inside", "photographed",
)  # fmt: skip
_KINDS_WITH_THINGS = (
    "outside", "things", "inside", "things", "photographed", "things",
    "outside", "things", "inside", "things", "photographed", "things",
)  # fmt: skip
_PACKAGES_OF_THINGS = ("openclipart-png", "pysiogame", "tuxmath-data", "tuxpaint-data", "tuxpaint-stamps-default")
_RUN = 11  # number of the streams' seeds: no run sees what one before it saw
_EASY_UNTIL = 16_000  # samples over which signs change from plain ones to all kinds
_CROWDS_FROM = 81_600  # the first sample after the recipe's stage III: what is left to learn is to read


@dataclass(frozen=True, slots=True)
class Mixture:
    """Mixture of two sources: easy-VQA's next sample where `index` is a multiple of `easy_every`, else a new scene."""

    world: WorldSource
    easy_vqa: ManifestSource
    easy_every: int = _EASY_EVERY

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        turn, rest = divmod(index, self.easy_every)
        return self.world[index] if rest else self.easy_vqa[turn % len(self.easy_vqa)]


def scenes() -> Mixture:
    """Draw scenes with plain signs first and all kinds later; evaluation draws its scenes from another seed.

    Raises:
        EasyVqaError: the package easy-vqa is not installed.
    """
    return Mixture(WorldSource("train", easy_until=_EASY_UNTIL, crowds_from=_CROWDS_FROM), easy_vqa_source())


def signs() -> Mixture:
    """Draw scenes for a model that knows the world: every other one full of signs, in the others shapes are counted.

    Raises:
        EasyVqaError: the package easy-vqa is not installed.
    """
    world = WorldSource("train signs", crowds_from=1, crowds=_CROWDS, counted=True)
    return Mixture(world, easy_vqa_source(), _EASY_SELDOM)


@dataclass(frozen=True, slots=True)
class TruthfulMixture:
    """Mixture for a model that is to say what it does not know, by `index` modulo the number of `kinds`.

    Attributes:
        inside: drawn scenes, and easy-VQA.
        photographed: signs on photographs.
        outside: pictures outside the world.
        things: everyday things, where the model is to know them.
        kinds: these sources by name, in turns.
    """

    inside: Mixture
    photographed: PhotographedSigns
    outside: OutsideSource
    things: ThingSource | None = None
    kinds: tuple[str, ...] = _KINDS

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        turn, place = divmod(index, len(self.kinds))
        kind = self.kinds[place]
        source: Source = getattr(self, kind)
        return source[turn * self.kinds.count(kind) + self.kinds[:place].count(kind)]


def truthful(folder: Path) -> TruthfulMixture:
    """Draw the world's scenes with signs on photographs and pictures outside the world among them.

    Args:
        folder: pictures, as `pheye dev photographs` keeps them.

    Raises:
        EasyVqaError: the package easy-vqa is not installed.
        ValueError: there are no pictures in the folder.
    """
    pictures = Pictures(folder)
    pictures.check()
    return TruthfulMixture(
        Mixture(_truthful_world(), easy_vqa_source(), _EASY_SELDOM),
        PhotographedSigns(f"train photographed {_RUN}", pictures),
        OutsideSource(f"train outside {_RUN}", pictures, pictures),
    )


def with_things(folder: Path) -> TruthfulMixture:
    """Draw what `truthful` does, and everyday things in all styles but the one that is kept for the evaluation.

    Args:
        folder: pictures, as `pheye dev photographs` keeps them, and in its folder `things` those of `pheye dev things`.

    Raises:
        EasyVqaError: the package easy-vqa is not installed.
        ValueError: there are no pictures in the folder.
    """
    pictures = Pictures(folder, unlike=_PACKAGES_OF_THINGS)
    things = ThingPictures(folder / "things", TRAINED_STYLES)
    pictures.check()
    things.check()
    return TruthfulMixture(
        Mixture(_truthful_world(), easy_vqa_source(), _EASY_SELDOM),
        PhotographedSigns(f"train photographed {_RUN}", pictures),
        OutsideSource(f"train outside {_RUN}", pictures, NamelessThings(things, pictures)),
        ThingSource(f"train things {_RUN}", things, pictures),
        _KINDS_WITH_THINGS,
    )


def things_varied(folder: Path) -> ThingSource:
    """Draw scenes with things for the eye alone; see `model/training/stage0/things.py`.

    Args:
        folder: as `with_things` takes it.
    """
    things = ThingPictures(folder / "things", TRAINED_STYLES, varied=True)
    return ThingSource(f"train eye {_RUN}", things, Pictures(folder))


def _truthful_world() -> WorldSource:
    return WorldSource(
        f"train truthful {_RUN}",
        crowds_from=1,
        crowd_every=3,
        crowds=_CROWDS,
        counted=True,
        unsigned=True,
        texts=varied_sign_text,
    )


STREAMS: Mapping[str, Callable[[], Source]] = {"scenes": scenes, "signs": signs}  # as `pheye train --data` calls them
TRUTHFUL, THINGS = "truthful:", "things:"  # and these with the folder of their pictures behind them


def stream(name: str) -> Source | None:
    """Return the stream that `pheye train --data` calls by this name; None if it is none."""
    for start, made in ((TRUTHFUL, truthful), (THINGS, with_things)):
        if name.startswith(start):
            return made(Path(name.removeprefix(start)))
    return STREAMS[name]() if name in STREAMS else None

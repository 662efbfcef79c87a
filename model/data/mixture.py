"""Training data of pheye-tiny: the endless synthetic world, with easy-VQA's training split mixed in.

Knows no tokens. Sent to the loader's worker processes, which paint and open the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from model.data.importers.easy_vqa import easy_vqa_source
from model.data.manifest import ManifestSource
from model.data.samples import ENDLESS, Sample
from model.data.world.source import WorldSource

_EASY_EVERY = 6  # one sample in so many is easy-VQA's
_EASY_SELDOM = 24  # where its questions are answered already
_CROWDS = (6, 12, 40)
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


STREAMS: Mapping[str, Callable[[], Mixture]] = {"scenes": scenes, "signs": signs}  # as `pheye train --data` calls them

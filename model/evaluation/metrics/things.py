"""Metrics for everyday things: is what an answer names what is there? Pure; any thread or process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from model.data.things.names import NAMES
from model.data.things.wording import plural

_SINGULAR = {plural(name): name for name in NAMES} | {name: name for name in NAMES}
_NAMED = re.compile(rf"\b({'|'.join(sorted(map(re.escape, _SINGULAR), key=len, reverse=True))})\b", re.IGNORECASE)


def things_match(answer: str, references: Sequence[str]) -> float:
    """Return the share of things named rightly, over the larger of those there and those named.

    Args:
        answer: the caption.
        references: every thing of the picture, a name as often as it is there.

    >>> things_match("A cat on the left and an apple at the top.", ["cat", "dog"])
    0.5
    """
    named, there = Counter(_named(answer)), Counter(references)
    return (named & there).total() / max(named.total(), there.total()) if named or there else 1.0


def thing_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the only thing that the answer names is one of the references, else 0.

    >>> thing_match("It is a light bulb.", ["light bulb"]), thing_match("a cat or a dog", ["cat"])
    (1.0, 0.0)
    """
    named = set(_named(answer))
    return float(len(named) == 1 and named <= set(references))


def _named(answer: str) -> list[str]:
    return [_SINGULAR[each.lower()] for each in _NAMED.findall(answer)]

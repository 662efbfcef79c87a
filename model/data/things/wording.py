"""Articles and plurals of the names of things. Pure."""

from __future__ import annotations

from model.data.world.captions import article

_SPOKEN = {"unicorn": "a", "hourglass": "an"}  # whose first sound is not that of its first letter
_PLURALS = {
    "deer": "deer", "die": "dice", "fish": "fish", "knife": "knives", "leaf": "leaves", "mouse": "mice", "ox": "oxen",
    "pufferfish": "pufferfish", "sheep": "sheep", "shrimp": "shrimp", "snowman": "snowmen", "squid": "squid",
    "wolf": "wolves", "piano": "pianos", "avocado": "avocados", "burrito": "burritos", "taco": "tacos", "kiwi": "kiwis",
    "radio": "radios",
}  # fmt: skip


def a(name: str) -> str:
    """Put the article before a name: `a cat`, `an apple`.

    >>> a("apple"), a("unicorn"), a("hourglass")
    ('an apple', 'a unicorn', 'an hourglass')
    """
    return f"{_SPOKEN[name]} {name}" if name in _SPOKEN else article(name)


def plural(name: str) -> str:
    """Write the plural of a name.

    >>> plural("cat"), plural("wine glass"), plural("butterfly"), plural("key"), plural("potato"), plural("mouse")
    ('cats', 'wine glasses', 'butterflies', 'keys', 'potatoes', 'mice')
    """
    if name in _PLURALS:
        return _PLURALS[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh", "o")) else f"{name}s"

"""Pictures of everyday things from free icon sets, painted small into one folder to train on and to be asked about.

`pheye dev things FOLDER` calls it. The pictures are not part of the project: each set keeps its licence, and its author
is named here. Downloads with `npm pack`, which runs nothing of a package, and paints with resvg; one process.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from model.data.things.names import NAMES

SIDE_PX = 144
OTHERS = "others"  # folder of a style's pictures that have no name here
_OTHERS_EVERY = 3  # one in so many pictures without a name is kept
_KNOWN = frozenset(  # words in the names of pictures that show a shape or letters of the drawn world
    """
    abc arrow atm button circle clock cool cross diamond digit free heart input keycap letter lozenge mark new number
    ok plus rectangle sign sos square star text triangle vs watch x
    """.split()  # noqa: SIM905 - thirty quoted words would be no clearer
)
_VARIANT = re.compile(r"(?<=[a-z])-[0-9]+$")  # some sets number the variants of a picture


@dataclass(frozen=True, slots=True)
class IconSet:
    """Icon set on npm, as `@iconify-json/<name>`, with its licence and author."""

    name: str
    version: str
    licence: str
    author: str


SETS = (
    IconSet("emojione", "1.2.3", "CC BY 4.0", "Emoji One"),
    IconSet("emojione-v1", "1.2.3", "CC BY-SA 4.0", "Emoji One"),
    IconSet("fluent-emoji", "1.2.7", "MIT", "Microsoft"),
    IconSet("fluent-emoji-flat", "1.2.6", "MIT", "Microsoft"),
    IconSet("fxemoji", "1.2.2", "Apache 2.0", "Mozilla"),
    IconSet("noto", "1.2.9", "Apache 2.0", "Google"),
    IconSet("noto-v1", "1.2.5", "Apache 2.0", "Google"),
    IconSet("openmoji", "1.2.29", "CC BY-SA 4.0", "OpenMoji"),
    IconSet("streamline-emojis", "1.2.4", "CC BY 4.0", "Streamline"),
    IconSet("twemoji", "1.2.5", "CC BY 4.0", "Twitter"),
)
ASKED_STYLE = "twemoji"  # the one that is never trained on
TRAINED_STYLES = tuple(icons.name for icons in SETS if icons.name != ASKED_STYLE)


def collect(folder: Path) -> int:
    """Fill `folder` with the pictures of all sets, one folder each, and return how many they are; what is there stays.

    A picture of a cat is `<set>/cat-0.png`, RGBA, on nothing. Pictures without a name here are in `<set>/others`.

    Raises:
        OSError: a set cannot be had, or is not what it should be; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for icons in SETS:
        if not (folder / icons.name).exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _paint(_unpacked(icons, Path(scratch)), Path(scratch, "painted"))
                Path(scratch, "painted").rename(folder / icons.name)  # all of a set, or none where it was ended
    return sum(1 for _ in folder.rglob("*.png"))


def _unpacked(icons: IconSet, scratch: Path) -> dict[str, Any]:
    package = f"@iconify-json/{icons.name}@{icons.version}"
    command = ["npm", "pack", "--ignore-scripts", "--pack-destination", str(scratch), package]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(f"{package}: npm pack failed: {done.stderr.strip()[-300:]}")
    try:
        with tarfile.open(next(scratch.glob("*.tgz"))) as archive, archive.extractfile("package/icons.json") as file:  # type: ignore[union-attr]
            found: dict[str, Any] = json.load(file)
    except (KeyError, StopIteration, ValueError, tarfile.TarError) as error:
        raise OSError(f"{package}: it holds no icons.json ({error})") from None
    return found


def _paint(found: dict[str, Any], folder: Path) -> None:
    (folder / OTHERS).mkdir(parents=True)
    bodies = dict(_bodies(found))
    named = {_plain(icon): name for name, icons in NAMES.items() for icon in icons}
    told = _KNOWN | {word for name in NAMES for word in name.split()}
    counts: dict[str, int] = {}
    others = [icon for icon in bodies if _plain(icon) not in named and told.isdisjoint(icon.split("-"))]
    for icon in others[::_OTHERS_EVERY]:
        _painted(bodies[icon]).save(folder / OTHERS / f"{icon}.png")
    for icon, svg in bodies.items():
        name = named.get(_plain(icon))
        if name is None:
            continue
        number = counts[name] = counts.get(name, -1) + 1
        _painted(svg).save(folder / f"{name}-{number}.png")


def _bodies(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each picture's name and its SVG, those of tinted people left out, which are many and have no name here."""
    sides = found.get("width", 16), found.get("height", 16)
    aliases = {name: entry["parent"] for name, entry in found.get("aliases", {}).items() if set(entry) == {"parent"}}
    for name in sorted([*found["icons"], *aliases]):
        entry = found["icons"].get(aliases.get(name, name))
        if entry is None or "skin-tone" in name or entry.get("hidden"):
            continue
        width, height = entry.get("width", sides[0]), entry.get("height", sides[1])
        box = f"{entry.get('left', 0)} {entry.get('top', 0)} {width} {height}"
        yield name, f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{entry["body"]}</svg>'


def _plain(icon: str) -> str:
    return _VARIANT.sub("", icon).replace("-", "")


def _painted(svg: str) -> Image.Image:
    import resvg_py

    painted = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE_PX, height=SIDE_PX, skip_system_fonts=True)
    with Image.open(BytesIO(bytes(painted))) as picture:
        return picture.convert("RGBA")

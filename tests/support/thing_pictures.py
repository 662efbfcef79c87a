"""Folder of pictures of things and photographs, as `pheye train --data things:FOLDER` takes it, painted here."""

from pathlib import Path

from PIL import Image, ImageDraw

from model.data.things import collecting

_NAMES = ("apple", "bus", "cat", "hourglass", "light bulb", "mouse", "others/mask")


def thing_pictures(folder: Path) -> Path:
    """Paint six things and one without a name, in two styles, and photographs beside them; return the folder."""
    for style in (collecting.TRAINED_STYLES[0], collecting.ASKED_STYLE):
        (folder / "things" / style / "others").mkdir(parents=True)
        for number, name in enumerate(_NAMES):
            picture = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
            ImageDraw.Draw(picture).ellipse((10, 20, 80, 90), fill=(250 - 40 * number, 40 * number, 90))
            picture.save(folder / "things" / style / f"{name}-0.png")
    for kind, mode, name in (("whole", "RGB", "walls-000.jpg"), ("cutouts", "RGBA", "stamps-000.webp")):
        (folder / kind).mkdir()
        Image.new(mode, (200, 150), (90, 120, 200, 255)[: len(mode)]).save(folder / kind / name)
    return folder

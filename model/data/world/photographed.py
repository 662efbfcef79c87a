"""Scenes of signs on photographs: on boards or plain, slanted, with a shadow, as if they had been photographed there.

The same letters as in drawn scenes, in front of something that has no name in this world. Pillow alone.
"""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw, ImageFilter

from model.data.world.paint import Picture, paint_sign
from model.data.world.scene import Scene, Sign, draw_sign, in_reading_order, lightness
from model.data.world.sign_texts import SignTexts, sign_text

PHOTOGRAPH = "photograph"
_SLANT_DEGREES = 9.0
_TRIES = 12


def draw_signs(rng: Random, photograph: Image.Image, count: int, texts: SignTexts = sign_text) -> Scene:
    """Draw up to `count` signs on a photograph, at least one.

    Args:
        rng: where every choice comes from.
        photograph: what they stand on, at the size of the scene.
        count: signs that look for a place.
        texts: draws what a sign says.
    """
    red, green, blue = photograph.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    tones = (int(red), int(green), int(blue)), (int(red), int(green), int(blue))
    signs: list[Sign] = []
    for _ in range(_TRIES):
        sign = draw_sign(rng, tones, texts=texts)
        if len(signs) < count and not any(sign.box.meets(other.box, 0.05) for other in signs):
            signs.append(sign)
    size = photograph.size
    return Scene(*size, PHOTOGRAPH, tones, (), in_reading_order(signs), rng.getrandbits(32))


def paint_signs(scene: Scene, photograph: Image.Image) -> Picture:
    """Paint the signs of a scene on its photograph; each sign's letters keep the boxes they had before its slant."""
    rng, image, letters = Random(scene.seed), photograph.copy(), []  # noqa: S311 - reproducible, not secret
    for sign in scene.signs:
        layer = Image.new("RGBA", photograph.size, (*sign.ink, 0))
        letters.append(paint_sign(ImageDraw.Draw(layer), sign, scene))
        x, y = sign.box.centre
        degrees = rng.uniform(-_SLANT_DEGREES, _SLANT_DEGREES) if rng.random() < 0.6 else 0.0
        middle = x * scene.width_px, y * scene.height_px
        layer = layer.rotate(degrees, Image.Resampling.BICUBIC, center=middle)
        _shade(image, layer.getchannel("A"), sign, rng)
        image.paste(layer, (0, 0), layer)
    return Picture(image, tuple(letters))


def _shade(image: Image.Image, shape: Image.Image, sign: Sign, rng: Random) -> None:
    """Lay a shadow under a board; under plain letters a glow that sets them off from the photograph."""
    if sign.board is None:
        tone = (0, 0, 0) if lightness(sign.ink) > 127 else (255, 255, 255)
        glow = shape.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.GaussianBlur(1.2))
        image.paste(tone, (0, 0), glow.point(lambda value: min(255, value * 2)))
    elif rng.random() < 0.5:
        reach = rng.randint(1, 4)
        shadow = shape.filter(ImageFilter.GaussianBlur(2)).point(lambda value: value // 2)
        image.paste((0, 0, 0), (reach, reach), shadow)

"""Colour profiles (ICC), made here: for RGB by primaries and gamma, for ink by a table of its corners."""

from __future__ import annotations

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
SRGB = {"red": (0.4361, 0.2225, 0.0139), "green": (0.3851, 0.7169, 0.0971), "blue": (0.1431, 0.0606, 0.7141)}
DISPLAY_P3 = {"red": (0.5151, 0.2412, -0.0011), "green": (0.2919, 0.6922, 0.0419), "blue": (0.1571, 0.0666, 0.7841)}


def rgb_profile(primaries: dict[str, tuple[float, float, float]] = DISPLAY_P3) -> bytes:
    """A display's profile, with the tone curve of sRGB."""
    curve = _srgb_curve()
    tags = {
        b"wtpt": _xyz(D50), b"rXYZ": _xyz(primaries["red"]), b"gXYZ": _xyz(primaries["green"]),
        b"bXYZ": _xyz(primaries["blue"]), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return _profile(
        b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": b"curv" + bytes(4) + _u32(1) + _u16(gamma * 256)}
    )


def cmyk_profile() -> bytes:
    """A press on yellow paper, which shines through little ink."""
    corners = []
    for place in range(16):
        inks = [place >> shift & 1 for shift in (3, 2, 1, 0)]
        lightness = max(0, 235 - 60 * sum(inks[:3]) - 200 * inks[3])
        corners += [lightness, 128, 190]
    identity = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(_fixed(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table += identity * 4 + bytes(corners) + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    named = {
        b"desc": b"desc" + bytes(4) + _u32(5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        **tags,
    }
    start = 128 + 4 + 12 * len(named)
    places, body = b"", b""
    for name, data in named.items():
        places += name + _u32(start + len(body)) + _u32(len(data))
        body += data + bytes(-len(data) % 4)
    head = bytes(4) + b"test" + _u32(0x02400000) + kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(_fixed(value) for value in D50) + bytes(48)
    whole = head + _u32(len(named)) + places + body
    return _u32(len(whole)) + whole[4:]


def _srgb_curve() -> bytes:
    level = np.linspace(0, 1, 1024)
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + _u32(1024) + (light * 65535 + 0.5).astype(">u2").tobytes()


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)


def _u16(value: float) -> bytes:
    return struct.pack(">H", round(value))

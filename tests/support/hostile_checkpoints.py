"""Parts of checkpoints that an attacker would make."""

from __future__ import annotations

import os
import struct
from typing import Any


class RunsCode:
    """Unpickling this makes a folder `executed` where the process is."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("executed",))


def stretched_pickle(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, stored: int = 16) -> bytes:
    """The pickle of a state dict, with one tensor over a storage of `stored` numbers that may be far less."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu") + _number(stored) + b"tQ"
    sizes = b"(" + b"".join(map(_number, shape)) + b"t(" + b"".join(map(_number, strides)) + b"t"
    hooks = b"ccollections\nOrderedDict\n)R"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(offset) + sizes + b"\x89" + hooks + b"tR"
    return b"\x80\x02}" + _text("a") + tensor + b"s."


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(number: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)

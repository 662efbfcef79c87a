"""Compiled resizing for decoders: loaded into the process that they are forked from, once there is time for it.

Loading takes half a second, which nobody is to wait for when the service starts, so decoders begin with Pillow. Later
the fork server looks whether the code is kept on disk, where workers have it compiled; decoders forked from then on
have it. It has no thread for that, since a fork copies only one: a timer interrupts it. Knows no images. In the fork
server and in decoders, by their only thread.
"""

from __future__ import annotations

import gc
import signal
from types import FrameType

from model.network.compiled.compilation import available
from model.pixels.tiles import MakeViews

FIRST_LOOK_S = 10.0  # after the start; each pause until the next look is twice as long
MOST_LOOKS = 6


class CompiledViewsLoader:
    """The compiled code as far as a process has it, and its children with it.

    Attributes:
        make_views: what resizes faster than Pillow; None if there is nothing yet.
        looks: how often it will still look for it.
    """

    def __init__(self) -> None:
        self.make_views: MakeViews | None = None
        self.looks = 0

    def look_later(self, after_s: float = FIRST_LOOK_S, looks: int = MOST_LOOKS) -> None:
        """Load the code when it is there, by a timer of this process."""

        def look(_: int, __: FrameType | None) -> None:
            self.load()
            if self.looks:
                self.look_later(2 * after_s, self.looks)

        self.looks = looks
        signal.signal(signal.SIGALRM, look)
        signal.setitimer(signal.ITIMER_REAL, after_s)

    def load(self) -> None:
        """Load the code if it is kept on disk; compiles nothing."""
        self.looks = max(0, self.looks - 1)
        try:
            if not available.installed():
                self.looks = 0
            elif available.may_be_kept("resizing"):
                from model.network.compiled.vision.resizing import CompiledViews, load_views  # which imports numba

                if load_views():
                    self.make_views, self.looks = CompiledViews, 0
                    gc.freeze()  # as after the imports of the fork server
        except Exception:  # such as a numba that cannot be used; of any kind, since files are unpickled
            self.looks = 0


LOADER = CompiledViewsLoader()
"""Of this process."""

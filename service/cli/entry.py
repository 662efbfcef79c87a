"""The console script `pheye`: it can be ended at any moment, even before the imports are done.

Knows no commands (`service.cli.main` does, and takes its time to import). Main thread only, first thing in the process.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Run the console script."""
    signal.signal(signal.SIGTERM, _end)
    from service.cli.main import main as run

    run()


def _end(number: int, _: FrameType | None) -> None:
    """End the process as SIGTERM ends one that has no handler; the server later sets its own, which drains.

    The kernel spares process 1 of a container, and whoever was started with the signal ignored, unless there is a
    handler.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # only process 1 is still here, which ignores the signal; nothing needs an orderly end


if __name__ == "__main__":
    main()

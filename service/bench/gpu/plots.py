"""Plots of a run: decode steps beside their roofline. `python -m service.bench.gpu.plots FOLDER` draws them.

A process of its own, so that drawing holds up nothing that is timed. Reads `gpu.json`.
"""

from __future__ import annotations

import sys


def main(words: list[str]) -> int:
    """Draw what there is."""
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

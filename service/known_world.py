"""Words about pictures outside a model's known world: the warning, and what to type for another checkpoint.

Data alone; any thread or process.
"""

from __future__ import annotations

OUTSIDE_KNOWN_WORLD = "outside_known_world"  # the warning, wherever there are warnings
PUBLISHED_MODEL = "--model miguelcarv/Pheye-x4-448"  # the published checkpoint that needs least memory
REAL_CHECKPOINT = f"pheye serve {PUBLISHED_MODEL}"

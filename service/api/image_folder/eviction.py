"""Choice of the files that go when a folder of uploaded images is too large. Pure.

The owners who hold the most give way, down to one level that is the same for all of them (max-min fairness), and of
their files those used longest ago. So nobody with no more than an equal share loses an image to another's.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence

from service.api.image_folder.owner_directory import Entry


def losers(files: Mapping[str, Sequence[Entry]], spare_bytes: float) -> list[tuple[str, Entry]]:
    """Choose the files to remove, by owner, that add up to so many bytes, or all.

    >>> mine, yours = Entry("a", 6, 0, used_s=5.0), Entry("b", 4, 0, used_s=1.0)
    >>> [entry.name for _, entry in losers({"me": [mine], "you": [yours]}, 1)]
    ['a']
    """
    waiting = {owner: deque(sorted(held, key=lambda each: (each.used_s, each.name))) for owner, held in files.items()}
    largest = [(-sum(each.size_bytes for each in held), owner) for owner, held in waiting.items() if held]
    chosen: list[tuple[str, Entry]] = []
    heapq.heapify(largest)
    while spare_bytes > 0 and largest:
        held, owner = largest[0]
        entry = waiting[owner].popleft()
        chosen.append((owner, entry))
        spare_bytes -= entry.size_bytes
        if waiting[owner]:
            heapq.heapreplace(largest, (held + entry.size_bytes, owner))
        else:
            heapq.heappop(largest)
    return chosen

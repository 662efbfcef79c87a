"""The process of one part: import, wait for the start, run item after item, write each into the journal.

`python -m service.bench.gpu.child MODULE PART JOURNAL`. It imports while the part before it still runs, and touches no
device before a line on its standard input tells it what it is given. A failed item does not end it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from model.bench.gpu.item import Item, NotAvailable, PartInput
from service.bench.gpu.journal import ItemJournal

WHY_CHARS = 600


def main(words: list[str]) -> int:
    """Run the items of a part that are not to be skipped, as long as there is time."""
    module, part, path = words
    items = import_module(module).items
    line = sys.stdin.readline()
    if not line:
        return 0  # nobody wants it any more
    told = json.loads(line)
    end_s = time.monotonic() + told["given"]["seconds"]
    journal, without = ItemJournal(Path(path), part), set(told["skipped"])
    planned = list[Item](items(PartInput(**told["given"])))
    journal.plan([item.name for item in planned])
    for item in planned:
        if item.name in without:
            continue
        if time.monotonic() >= end_s:
            break
        _run(item, journal)
    return 0


def _run(item: Item, journal: ItemJournal) -> None:
    journal.begin(item.name, item.limit_s)
    start = time.monotonic()
    try:
        data = item.run()
    except NotAvailable as missing:
        journal.end(item.name, "not available", {}, str(missing), time.monotonic() - start)
    except Exception as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"[:WHY_CHARS]
        journal.end(item.name, "failed", {}, why, time.monotonic() - start)
    else:
        journal.end(item.name, "done", data, "", time.monotonic() - start)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # everything is in the journal; to take a loaded model and a profiler apart can take seconds

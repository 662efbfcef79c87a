"""`python -m loadtest.screenshots URL`: what the next screenshot costs when most of its tiles are those of the last.

Exit code 0; 1 if the server does not answer, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from loadtest.ending import ended
from loadtest.options import read_address, read_key, whole_number
from loadtest.parser import Parser
from loadtest.report.tables import console
from loadtest.screenshots.ask import SequenceCost, ask_about, sum_up
from loadtest.screenshots.draw import SEQUENCES
from loadtest.servers import Server, ServerError

LEAST_FRAMES = 2  # the first is left out


async def measure(server: Server, frames: int, max_tokens: int, seed: int) -> list[SequenceCost]:
    """Ask about every sequence in turn."""
    return [sum_up(name, await ask_about(server, draw(frames, seed), max_tokens)) for name, draw in SEQUENCES.items()]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = Parser("python -m loadtest.screenshots", "Captions of screenshots that follow each other.")
    parser.argument("url", type=read_address)
    parser.option("--frames", "Frames of each sequence.", type=_frames, default=9, metavar="N")
    parser.option("--max-tokens", "Most tokens of an answer.", type=whole_number(1), default=8, metavar="N")
    drawn = secrets.randbelow(10**9)
    parser.option("--seed", "Makes the frames repeatable.", type=int, default=drawn, shown="a new one", metavar="N")
    parser.option("--json", "Print JSON, and no table.", action="store_true")
    parser.option("--api-key-file", "A file that holds nothing but the API key.", type=read_key, metavar="FILE")
    options = parser.parse_args(words)
    server = Server("server", options.url, options.api_key_file)
    try:
        costs = asyncio.run(measure(server, options.frames, options.max_tokens, options.seed))
    except ServerError as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    else:
        console().print(_table(costs))
    return 0


def _frames(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_FRAMES:
        raise argparse.ArgumentTypeError(f"{text} is not {LEAST_FRAMES} or more frames")
    return int(text)


def _table(costs: Sequence[SequenceCost]) -> Table:
    table = Table("sequence", "tiles", "encoded", "encode s", "answer s", "cache KB", title="A frame after the first")
    for cost in costs:
        told = (f"{cost.encode_s:.3f}", f"{cost.total_s:.3f}", f"{cost.cache_bytes / 1024:.0f}")
        table.add_row(cost.name, str(cost.tiles), f"{cost.encoded:.1f}", *told)
    return table


if __name__ == "__main__":
    sys.exit(ended(main))

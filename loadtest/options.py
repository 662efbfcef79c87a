"""What can be typed after `python -m loadtest`, checked: commands, flags, and the plans they stand for."""

from __future__ import annotations

import argparse
import math
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from loadtest.loops import ClosedLoop, OpenLoop
from loadtest.mix import Mix
from loadtest.servers import Server
from loadtest.sweep import Load

Value = TypeVar("Value")
CLIENTS = [1, 2, 4, 8, 16, 32, 64]
HITS = [0.0, 0.5, 0.9]


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What was typed, checked; a mistake ends the process with exit code 2 and a line that names it."""
    whole = _parser()
    options = whole.parse_args(words)
    names = [server.name for server in options.server]
    if len(set(names)) < len(names):
        whole.error("argument --server: two servers have the same name")
    if options.command == "compare" and len(names) < 2:
        whole.error("argument --server: compare takes two or more")
    return options


def _parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m loadtest", description="Load on a Pheye service, over HTTP.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = [_servers(), _asked(), _measured()]

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words, parents=shared)

    run = command("run", "One load: so many clients, or so many arrivals a second.")
    pressure = run.add_mutually_exclusive_group()
    pressure.add_argument("--clients", type=_from(1), default=8, help="closed loop; default 8")
    pressure.add_argument(
        "--rate", type=_above_zero, metavar="PER_S", help="open loop: Poisson arrivals, never waiting"
    )
    run.set_defaults(repeats=1)
    _add_hits(run)
    _add_grid(command("sweep", "Closed loops over numbers of clients and shares of hits."), CLIENTS, HITS, repeats=1)
    _add_grid(command("compare", "The same loads on several servers in turns."), CLIENTS, [0.0], repeats=3)
    capacity = command("capacity", "The highest rate of arrivals that keeps a latency target.")
    capacity.add_argument("--target", type=_above_zero, required=True, metavar="SECONDS", help="latency to keep")
    capacity.add_argument("--percentile", choices=("p50", "p90", "p99"), default="p90", help="of which; default p90")
    capacity.add_argument("--rate", type=_above_zero, default=1.0, metavar="PER_S", help="first to try; default 1")
    capacity.add_argument("--precision", type=_above_zero, default=0.05, help="relative; default 0.05")
    _add_hits(capacity)
    return whole


def loads_of(options: argparse.Namespace) -> list[Load]:
    """The loads that were asked for, in order; of `capacity` one at the first rate to try."""
    if options.command in ("sweep", "compare"):
        return [_load(options, hits, ClosedLoop(count)) for hits in options.hits for count in options.clients]
    if options.rate is None:
        return [_load(options, options.hits, ClosedLoop(options.clients))]
    return [_load(options, options.hits, OpenLoop(options.rate))]


def _load(options: argparse.Namespace, hits: float, loop: ClosedLoop | OpenLoop) -> Load:
    width_px, height_px = options.size
    mix = Mix(
        captions=options.captions,
        questions=options.questions,
        hits=hits,
        hot_images=options.hot_images,
        stream=options.stream,
        max_tokens=options.max_tokens,
        form=options.format,
        width_px=width_px,
        height_px=height_px,
    )
    least = options.per_client * loop.clients if isinstance(loop, ClosedLoop) else 0
    return Load(mix, loop, max(options.requests, least), options.warm_up, options.timeout)


def _servers() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument(
        "--server", type=_server, action="append", required=True, metavar="NAME=URL", help="several times: in turns"
    )
    flags.add_argument("--timeout", type=_above_zero, default=300.0, metavar="SECONDS", help="of silence; default 300")
    return flags


def _asked() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--captions", type=_share, default=0.5, help="share of captions; default 0.5")
    flags.add_argument("--questions", type=_from(1), default=1, help="most in one request; default 1")
    flags.add_argument("--hot-images", type=_from(1), default=8, help="images that hits repeat; default 8")
    flags.add_argument("--stream", action="store_true", help="ask for streams, and time their first text")
    flags.add_argument("--max-tokens", type=_from(1), default=32, help="of an answer; default 32")
    flags.add_argument("--format", choices=("JPEG", "PNG"), default="JPEG", help="of the images; default JPEG")
    flags.add_argument("--size", type=_size, default=(640, 480), metavar="WxH", help="of the images; default 640x480")
    return flags


def _measured() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--requests", type=_from(1), default=100, help="of a load; default 100")
    flags.add_argument("--per-client", type=_from(1), default=4, metavar="N", help="of a load, at least; default 4")
    flags.add_argument("--warm-up", type=_from(0), default=4, help="requests before each load; default 4")
    flags.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**9), help="of all that is drawn; a new one by default"
    )
    flags.add_argument("--out", type=Path, metavar="DIR", help="write results.json and report.png there")
    flags.add_argument("--json", type=Path, metavar="FILE", help="write the results there, and draw nothing")
    return flags


def _add_hits(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--hits", type=_share, default=0.0, help="share of requests about an image seen before")


def _add_grid(flags: argparse.ArgumentParser, clients: list[int], hits: list[float], *, repeats: int) -> None:
    numbers, shares = ",".join(map(str, clients)), ",".join(f"{share:g}" for share in hits)
    flags.add_argument("--clients", type=_several(_from(1)), default=clients, help=f"default {numbers}")
    flags.add_argument("--hits", type=_several(_share), default=hits, help=f"shares of hits; default {shares}")
    flags.add_argument("--repeats", type=_from(1), default=repeats, help=f"default {repeats}")


def _server(text: str) -> Server:
    name, _, url = text.partition("=")
    parts = urlsplit(url)
    if not name or parts.scheme not in ("http", "https") or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=URL, as in pheye=http://127.0.0.1:8000")
    return Server(name, url.rstrip("/"))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _from(least: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return int(text)

    return check


def _above_zero(text: str) -> float:
    if not 0.0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return _number(text)


def _share(text: str) -> float:
    if not 0.0 <= _number(text) <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return _number(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return _from(1)(width), _from(1)(height)


def _several(check: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    return lambda text: [check(part) for part in text.split(",")]

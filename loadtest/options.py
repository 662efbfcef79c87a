"""Command-line options of `python -m loadtest`, checked: commands, flags, and the plans they stand for."""

from __future__ import annotations

import argparse
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from loadtest.capacity import LEAST_PER_S, MOST_PER_S
from loadtest.loops import ClosedLoop, OpenLoop
from loadtest.mix import Mix
from loadtest.parser import EXIT_USAGE, Parser, current_names
from loadtest.servers import Server
from loadtest.sweep import Load

Value = TypeVar("Value")
CLIENTS = [1, 2, 4, 8, 16, 32, 64]
HITS = [0.0, 0.5, 0.9]


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line, checked; a mistake ends the process with exit code 2 and a line that names it."""
    whole = _parser()
    if not words:
        whole.exit(EXIT_USAGE, whole.format_help())
    options = whole.parse_args(current_names(words))
    options.server = [replace(server, key=options.api_key_file) for server in options.server]
    names = [server.name for server in options.server]
    if len(set(names)) < len(names):
        whole.error("argument --server: two servers have the same name")
    if options.command == "compare" and len(names) < 2:
        whole.error("argument --server: compare takes two or more")
    return options


def _parser() -> Parser:
    whole = Parser("python -m loadtest", "Load on a Pheye service, over HTTP.")
    run = whole.command("run", "One load: so many clients, or so many arrivals a second.")
    _add_servers(run)
    one = run.add_mutually_exclusive_group()
    run.option("--clients", "Closed loop: clients at a time.", among=one, type=whole_number(1), default=8, metavar="N")
    run.option(
        "--rate", "Open loop: Poisson arrivals, which never wait.", among=one, type=_above_zero, metavar="PER_SECOND"
    )
    run.set_defaults(repeats=1)
    _add_hits(run)
    sweep = whole.command("sweep", "Closed loops over numbers of clients and shares of hits.")
    _add_servers(sweep)
    _add_grid(sweep, CLIENTS, HITS, repeats=1)
    compare = whole.command("compare", "The same loads on several servers in turns.")
    _add_servers(compare)
    _add_grid(compare, CLIENTS, [0.0], repeats=3)
    capacity = whole.command("capacity", "The highest rate of arrivals that keeps a latency goal.")
    _add_servers(capacity)
    capacity.option("--target", "Latency to keep.", type=_above_zero, required=True, metavar="SECONDS")
    capacity.option(
        "--percentile",
        "Percentile of the latency.",
        choices=("p50", "p90", "p95", "p99"),
        default="p90",
        metavar="p50|p90|p95|p99",
    )
    rate = _between(LEAST_PER_S, MOST_PER_S)  # beyond, none is tried
    capacity.option("--rate", "First rate to try.", type=rate, default=1.0, metavar="PER_SECOND")
    capacity.option(
        "--precision", "Relative precision of the rate.", type=_between(0.001, 10.0), default=0.05, metavar="X"
    )
    _add_hits(capacity)
    for command in (run, sweep, compare, capacity):
        _add_asked(command)
        _add_measured(command)
    return whole


def loads_of(options: argparse.Namespace) -> list[Load]:
    """Return the loads that were asked for, in order; of `capacity` one at the first rate to try."""
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


def _add_servers(command: Parser) -> None:
    command.option(
        "--server", "Server to measure; several times: in turns.", type=_server, action="append", required=True,
        metavar="[NAME=]URL",
    )  # fmt: skip
    command.option(
        "--timeout",
        "How long a connection may be silent, or an answer's head take.",
        type=_above_zero,
        default=300.0,
        metavar="SECONDS",
    )
    command.option(
        "--api-key-file", "A file that holds nothing but the API key, for every server.", type=read_key, metavar="FILE"
    )


def _add_asked(command: Parser) -> None:
    command.option("--captions", "Share of captions.", type=_share, default=0.5, metavar="X")
    command.option("--questions", "Most questions in one request.", type=whole_number(1), default=1, metavar="N")
    command.option("--hot-images", "Images that hits repeat.", type=whole_number(1), default=8, metavar="N")
    command.option("--stream", "Ask for streams, and time their first text.", action="store_true")
    command.option("--max-tokens", "Most tokens of an answer.", type=whole_number(1), default=32, metavar="N")
    command.option(
        "--format", "File format of the images.", choices=("JPEG", "PNG"), default="JPEG", metavar="JPEG|PNG"
    )
    command.option(
        "--size", "Size of the images, in pixels.", type=_size, default=(640, 480), shown="640x480", metavar="WxH"
    )


def _add_measured(command: Parser) -> None:
    command.option("--requests", "Requests of each load.", type=whole_number(1), default=100, metavar="N")
    command.option("--per-client", "Requests of each client, at least.", type=whole_number(1), default=4, metavar="N")
    command.option("--warm-up", "Requests before each load.", type=whole_number(0), default=4, metavar="N")
    drawn = secrets.randbelow(10**9)
    command.option("--seed", "Makes a load repeatable.", type=int, default=drawn, shown="a new one", metavar="N")
    command.option("--report", "Write results.json and report.png there.", type=Path, metavar="FOLDER")
    command.option(
        "--json", "Write the results there, and draw nothing; - is standard output.", type=Path, metavar="FILE"
    )


def _add_hits(command: Parser) -> None:
    command.option("--hits", "Share of requests about an image seen before.", type=_share, default=0.0, metavar="X")


def _add_grid(command: Parser, clients: list[int], hits: list[float], *, repeats: int) -> None:
    numbers, shares = ",".join(map(str, clients)), ",".join(f"{share:g}" for share in hits)
    several = _several(whole_number(1))
    command.option("--clients", "Clients at a time.", type=several, default=clients, shown=numbers, metavar="LIST")
    command.option(
        "--hits",
        "Shares of requests about an image seen before.",
        type=_several(_share),
        default=hits,
        shown=shares,
        metavar="LIST",
    )
    command.option("--repeats", "Turns of each load.", type=whole_number(1), default=repeats, metavar="N")


def _server(text: str) -> Server:
    """Parse a server under the name that was typed, or under its host and port."""
    name, _, url = ("", "", text) if text.startswith(("http://", "https://")) else text.partition("=")
    if not _is_address(url):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not NAME=URL or URL, as in pheye=http://127.0.0.1:8000")
    return Server(name or urlsplit(url).netloc.rpartition("@")[2], url.rstrip("/"))


def read_address(text: str) -> str:
    """Check the address of a server that was typed, and drop a slash at its end."""
    if not _is_address(text):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not a URL, as in http://127.0.0.1:8000")
    return text.rstrip("/")


def _is_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):  # of which an error about a name in another script is a kind
        return False


def _shown(text: str) -> str:
    return "this" if "@" in text else repr(text)  # before it there may be a password


def read_file(file: str) -> bytes:
    """Read a file that was typed."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file}: cannot be read: {error.strerror}") from None


def read_key(file: str) -> str:
    """Read the API key in a file; it is never shown."""
    try:
        key = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise argparse.ArgumentTypeError(f"{file}: expected an API key, alone on its line")
    return key


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def whole_number(least: int) -> Callable[[str], int]:
    """Return a check of a word that must be a whole number, this one or a larger one."""

    def check(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return int(text)

    return check


def _between(least: float, most: float) -> Callable[[str], float]:
    def check(text: str) -> float:
        if not least <= _number(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return _number(text)

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
    return whole_number(1)(width), whole_number(1)(height)


def _several(check: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    return lambda text: [check(part) for part in text.split(",")]

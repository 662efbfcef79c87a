"""`pheye dev capacity`: the options of capacity planning, and its words.

Owns what is printed; `service/bench/capacity/` measures, simulates and sizes. Main thread only.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from service.cli.options.dataclass_options import options, take
from service.cli.options.flags import fail, fail_for, flag_of, read_settings, setting_flags, tell

if TYPE_CHECKING:
    from service.bench.capacity.check import CheckedFigure
    from service.bench.capacity.costs import MachineModel
    from service.bench.capacity.fleet import FleetPlan, FleetResult, Routing

SETTINGS = (
    "model", "revision", "devices", "dtype", "threads", "slots", "stall_s", "max_waiting", "decoders",
    "feature_cache_bytes",
)  # fmt: skip
EXIT_MISSED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityOptions:
    """The options of `pheye dev capacity`, beside settings; the field order is the order of its help."""

    costs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Costs that --save has written, in place of measuring.")
    ] = None
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the measured costs there.")] = None
    check: Annotated[
        bool, typer.Option("--check", help="Compare the simulation with the load test; exit code 1 beyond 15 %.")
    ] = False
    turns: Annotated[int, typer.Option(min=1, help="Times that each load is measured.")] = 3
    rate: Annotated[
        float | None, typer.Option(min=0.01, max=1_000_000, help="Requests a second of a fleet to be sized.")
    ] = None
    repeated: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of requests about a known image.")] = 0.8
    images: Annotated[int, typer.Option(min=1, max=10_000_000, help="Known images.")] = 100_000
    zipf: Annotated[float, typer.Option(min=0.0, max=3.0, help="Exponent of their popularity; 0: all alike.")] = 0.8
    tokens: Annotated[int, typer.Option(min=1, max=2048, help="Tokens of an answer.")] = 32
    target: Annotated[float, typer.Option(min=0.001, help="Seconds within which a share is answered.")] = 2.0
    percentile: Annotated[float, typer.Option(min=1.0, max=99.9, help="That share, in percent.")] = 95.0
    busy: Annotated[float, typer.Option(min=0.05, max=1.0, help="Most of the time for which workers work.")] = 0.85
    price: Annotated[float | None, typer.Option(min=0.0, help="Of a machine-hour, in your currency.")] = None
    balance: Annotated[
        float, typer.Option(min=1.01, max=10.0, help="Most load of a machine over the mean, where that is bounded.")
    ] = 1.25
    seed: Annotated[int, typer.Option(min=0, help="Makes a simulation repeatable.")] = 1


@options(CapacityOptions, setting_flags(*SETTINGS))
def capacity(**typed: Any) -> None:
    """Measure this machine, and simulate how many of them a rate of requests needs."""
    words, flags = take(CapacityOptions, typed)
    _check(words, flags)
    machine, figures = (_read(words.costs), []) if words.costs else _measured(words, flags)
    if words.save is not None:
        _save(words.save, machine)
    out = _wide_console()
    _print_machine(machine, out)
    if figures:
        _print_figures(figures, out)
    if words.rate is not None:
        _size_fleets(words, words.rate, machine, out)
    if not all(figure.holds for figure in figures):
        raise typer.Exit(EXIT_MISSED)


def _check(words: CapacityOptions, flags: Mapping[str, str | None]) -> None:
    """Refuse what does not go together, and a file that cannot be written, before minutes of work."""
    if words.costs is not None:
        if words.save is not None or words.check:
            fail("--costs: --save and --check measure; leave one of them out")
        typed = [flag_of(name) for name, value in flags.items() if value is not None]
        if typed:
            fail(f"{', '.join(typed)}: not with --costs, whose file says what was measured; change it there")
    elif words.save is None and not words.check and words.rate is None:
        fail("--rate: give a rate of requests to size a fleet for, or --check, or --save FILE")
    if words.save is not None:
        _check_file(words.save)


def _check_file(file: Path) -> None:
    try:
        new = not file.exists()
        file.open("ab").close()
        if new:
            file.resolve().unlink()  # nothing has been measured yet; a link stays
    except OSError as error:
        fail_for(error, f"--save: {file}: {error.strerror}")


def _wide_console() -> Console:
    """Return standard output; a file has no width, and a table cut to rich's own 80 columns breaks its words."""
    from service.bench.report import WIDTH

    out = Console(highlight=False, soft_wrap=True)
    if not out.is_terminal:
        out.width = WIDTH
    return out


def _measured(words: CapacityOptions, flags: Mapping[str, str | None]) -> tuple[MachineModel, list[CheckedFigure]]:
    """Measure a server on this machine; returns its costs and, where that is asked for, figures to check them by."""
    from service.bench.capacity.check import check_loads
    from service.bench.capacity.costs import LoadCounts
    from service.bench.capacity.measure import CALIBRATION, MeasuredServer, in_turns, measured_machine, running_service
    from service.bench.gpu.server import ServerLost
    from service.cli.info.figures import find_config
    from service.machine.workers import with_workers

    settings = with_workers(read_settings(flags))  # as the server will spell `auto` out
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the server would stay
    try:
        config = find_config(settings.model, settings.revision)
        with running_service(settings) as url:
            server = MeasuredServer(url, config.tiles)

            def describe(counts: Sequence[LoadCounts]) -> MachineModel:
                return measured_machine(settings, config, url, counts)

            if words.check:
                return check_loads(server, describe, words.turns, words.tokens, tell)
            found = in_turns(server, CALIBRATION, words.turns, words.tokens, tell)
            return describe([each.counts for outcomes in found for each in outcomes]), []
    except (ValueError, OSError, RuntimeError, ServerLost) as error:
        fail(str(error))


def _read(file: Path) -> MachineModel:
    from service.bench.capacity.costs import MachineModel

    try:
        return MachineModel.parsed(json.loads(file.read_text(encoding="utf-8"))["machine"])
    except OSError as error:
        fail(f"--costs: {file}: {error.strerror}")
    except (ValueError, KeyError, TypeError) as error:
        fail(f"--costs: {file} was not written by --save: {error}")


def _save(file: Path, machine: MachineModel) -> None:
    from model.provenance import provenance

    head: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(),
        "machine": asdict(machine),
    }
    try:
        file.write_text(json.dumps(head, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        fail_for(error)


def _print_machine(machine: MachineModel, out: Console) -> None:
    costs = machine.costs
    out.print(
        f"one machine: {machine.workers} x {machine.slots} slots, {machine.cached_images:,} cached images\n"
        f"  encode   {_ms(costs.encode_step_s)} + {_ms(costs.tile_s)} a tile ({machine.tiles} an image)\n"
        f"  prefill  {_ms(costs.prefill_step_s)} + {_ms(costs.prompt_s)} a row + {_ms(costs.new_image_s)} a new image\n"
        f"  decode   {_ms(costs.decode_step_s)} + {_ms(costs.decode_row_s)} a row\n"
        f"  other    {_ms(costs.other_s)} a step; {_ms(costs.api_s)} a request outside of the engine"
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _print_figures(figures: Sequence[CheckedFigure], out: Console) -> None:
    table = Table("load", "figure", "measured", "simulated", "off")
    for each in figures:
        cells = (" ".join(f"{value:.3g}" for value in values) for values in (each.measured, each.simulated))
        table.add_row(each.load, each.name, *cells, f"{100 * each.off:+.0f} %")
    out.print(table)


def _size_fleets(words: CapacityOptions, rate_per_s: float, machine: MachineModel, out: Console) -> None:
    """Print how many machines a rate of requests needs, by what a proxy in front of them does."""
    from service.bench.capacity.fleet import FleetGoal, FleetPlan, Routing
    from service.bench.capacity.traffic import Traffic

    traffic = Traffic(words.repeated, words.images, words.zipf, words.tokens)
    goal = FleetGoal(rate_per_s, words.percentile, words.target, words.busy)
    plan = FleetPlan(machine, traffic, goal, seed=words.seed)
    _print_fleets(plan, [Routing(False), Routing(True), Routing(True, words.balance)], words.price, out)


def _print_fleets(plan: FleetPlan, routings: Sequence[Routing], price: float | None, out: Console) -> None:
    from service.bench.capacity.fleet import size_fleet

    goal, traffic = plan.goal, plan.traffic
    out.print(
        f"{goal.rate_per_s:,g} requests/s, {traffic.tokens} tokens each, {100 * traffic.repeated:g} % about "
        f"{traffic.known:,} images (zipf {traffic.zipf:g}); p{goal.percentile:g} within {goal.seconds:g} s, workers at "
        f"most {100 * goal.busy:g} % busy"
    )
    table = Table("proxy", "machines", "workers", "hits", "busy", "busiest", "p50 s", "p95 s")
    for name in ("an hour", "per million") if price is not None else ():
        table.add_column(name, justify="right")
    for routing in routings:
        tell(f"{routing.words}: sizing")
        try:
            found = size_fleet(plan, routing)
        except ValueError as error:
            fail(f"--rate: {error}")
        table.add_row(routing.words, *_fleet_cells(plan, found, price))
    out.print(table)


def _fleet_cells(plan: FleetPlan, found: FleetResult | None, price: float | None) -> list[str]:
    if found is None:
        return ["no number"]
    cells = [
        f"{found.machines:,}", f"{found.machines * plan.machine.workers:,}", f"{100 * found.hit_ratio:.0f} %",
        f"{100 * found.busy:.0f} %", f"{100 * found.busiest:.0f} %", f"{found.p50_s:.2f}", f"{found.p95_s:.2f}",
    ]  # fmt: skip
    if price is not None:
        hour = found.machines * price
        cells += [f"{hour:,.2f}", f"{hour / plan.goal.rate_per_s / 3600 * 1e6:,.2f}"]
    return cells

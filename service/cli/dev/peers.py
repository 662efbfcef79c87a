"""`pheye dev bench --peers`: the course of a comparison with llama.cpp and OpenVINO.

Owns which of the benchmark's options go with it; `model/bench/peers/` measures, `service/bench/peers.py` tells. Main
thread only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.options.flags import fail, tell

if TYPE_CHECKING:
    from model.bench.peers.run import PeerRun
    from model.bench.plan import PlanOverrides

COMPARED_MODEL = "random:Pheye-x4-448"  # of which nothing but the sizes counts
EXIT_INTERRUPTED = 130


def compare_with_peers(
    models: Sequence[str], overrides: PlanOverrides, threads: int, folder: Path | None, others: Mapping[str, bool]
) -> int:
    """Measure, print and write; return the exit code. A run that is interrupted tells what it has found.

    Args:
        models: one, or none for the usual.
        overrides: what the user limits.
        threads: of both sides; 0 for every core.
        folder: of the report.
        others: options that do not go with this one, and whether they were typed.

    Raises:
        ValueError: something cannot be used; the message says what to change.
    """
    from model.bench.peers.llama import PeerFailed
    from model.bench.peers.run import compare
    from service.bench.peers import print_peers, write_peers

    run = _peer_run(models, overrides, threads, others)
    report, code = None, EXIT_INTERRUPTED
    try:
        for report in compare(run):
            if folder is not None:
                write_peers(report, folder)
        code = 0
    except KeyboardInterrupt:
        tell("interrupted; this is what there is so far")
    except PeerFailed as error:
        fail(str(error))
    if report is not None:
        print_peers(report)
    if folder is not None:
        tell(f"written to {folder}")
    return code


def _peer_run(models: Sequence[str], overrides: PlanOverrides, threads: int, others: Mapping[str, bool]) -> PeerRun:
    """Check that all that was typed goes with a comparison, and say what is compared."""
    from model.bench.peers.plan import KINDS, plan_peers
    from model.bench.peers.run import PeerRun

    for flag in (flag for flag, typed in others.items() if typed):
        fail(f"{flag}: does not go with --peers")
    for name in overrides.only:
        if name not in KINDS:
            fail(f"--only: with --peers {name!r} is not one of {', '.join(KINDS)}")
    if len(models) > 1:
        fail("--model: --peers compares one model in a run")
    work = plan_peers(overrides.only, overrides.dtypes, overrides.rows)
    if not work:
        fail("--dtype: nothing that --only names is compared in these formats; llama.cpp is beside int8 and int4")
    given = {"repeats": overrides.repeats, "prompt_tokens": overrides.prompt_tokens}
    chosen = {name: value for name, value in given.items() if value is not None}
    return PeerRun(models[0] if models else COMPARED_MODEL, work, tell, threads=threads, **chosen)

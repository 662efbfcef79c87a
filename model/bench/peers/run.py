"""Comparison with peers: one half of the model in one number format in memory at a time, one peer beside it.

Owns the order of loading, and where the peers' files lie while they are needed. One thread.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from model.bench.halves import trimmed
from model.bench.machine import this_machine
from model.bench.model_under_test import noise_tiles
from model.bench.peers import ours
from model.bench.peers.extra import LLAMA, peer_versions
from model.bench.peers.llama import LlamaServer, compiled_for
from model.bench.peers.openvino_tower import OpenVinoTower, features_alike, normalised
from model.bench.peers.phi_file import PhiModel, layers_for, write_phi
from model.bench.peers.plan import DECODE, ENCODE, PeerWork
from model.bench.peers.result import PeerReport, PeerResult
from model.bench.peers.turns import Sample, take_turns
from model.bench.sides import encode_fast
from model.bench.timing import Stopwatch
from model.checkpoint.checkpoint import CPU, RANDOM, Checkpoint, open_checkpoint, read_config
from model.complexity import PAPER_TEXT_TOKENS
from model.machine.cores import usable_cores
from model.provenance import commit

STEPS = 16  # of one turn of decoding


@dataclass(frozen=True, slots=True)
class PeerRun:
    """Plan and settings of one comparison.

    Attributes:
        model: `random:NAME`, a folder or a hub id.
        work: in the order of the table.
        repeats: pairs of turns.
        threads: of both sides; 0 are as many as there are cores.
        prompt_tokens: of every prompt.
        tell: is given a line before anything that takes long.
    """

    model: str
    work: tuple[PeerWork, ...]
    tell: Callable[[str], None]
    repeats: int = 5
    threads: int = 0
    prompt_tokens: int = PAPER_TEXT_TOKENS


def compare(run: PeerRun) -> Iterator[PeerReport]:
    """Measure all work, and yield the report so far whenever there is more.

    Raises:
        PeersMissing: a peer is not installed.
        PeerFailed: a peer did not do what it was asked for.
        ValueError: the model or a number format cannot be used.
    """
    run = replace(run, threads=run.threads or usable_cores())
    config = read_config(run.model)
    if run.prompt_tokens + STEPS + 1 > config.decoder.max_positions:
        raise ValueError(f"--prompt-tokens: {run.model} has room for {config.decoder.max_positions} tokens")
    peers = {work.peer for work in run.work if work.peer is not None}
    versions = peer_versions(peers)
    torch.set_num_threads(run.threads)
    report = PeerReport(
        model=run.model.removeprefix(RANDOM),
        layers=layers_for(config),
        repeats=run.repeats,
        machine=this_machine(CPU),
        commit=commit(Path(__file__).parent),
        versions=versions,
        compiled_for=compiled_for() if LLAMA in peers else "",
    )
    yield report
    found: dict[PeerWork, PeerResult] = {}
    for result in _results(run, open_checkpoint(run.model)):
        found[result.work] = result
        report = replace(report, results=tuple(found[work] for work in run.work if work in found))
        yield report


def _results(run: PeerRun, checkpoint: Checkpoint) -> Iterator[PeerResult]:
    halves = groupby(sorted(run.work, key=_half), key=_half)
    for (encodes, dtype), of_half in halves:
        yield from (_encoded if encodes else _decoded)(run, checkpoint, dtype, list(of_half))
        gc.collect()


def _half(work: PeerWork) -> tuple[bool, str]:
    return work.kind == ENCODE, work.dtype


def _decoded(run: PeerRun, checkpoint: Checkpoint, dtype: str, work: Sequence[PeerWork]) -> Iterator[PeerResult]:
    """Compare the decoder with one model file after another."""
    run.tell(f"decoder in {dtype}: loading")
    half = ours.load_decoder(checkpoint, dtype)
    config = checkpoint.config
    for form in dict.fromkeys(each.form for each in work):
        own = [each for each in work if each.form == form]
        phi = PhiModel(config.decoder, layers_for(config), form)
        context = run.prompt_tokens + STEPS + 1
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "phi.gguf"
            run.tell(f"llama.cpp {form}: {phi.layers} layers, {phi.step_bytes / 1e9:.2f} GB read by a step")
            write_phi(phi, context, file)
            with LlamaServer(file, run.threads, max(each.rows for each in own), context) as server:
                yield from (_decoder_race(run, half, server, each) for each in own)
            gc.collect()


def _decoder_race(run: PeerRun, half: ours.LoadedHalf, server: LlamaServer, work: PeerWork) -> PeerResult:
    run.tell(f"{work.kind}, {work.rows} in {work.dtype}, and {work.against}")
    prompts = _prompts(half.model.config.decoder.vocab_size, work.rows, run.prompt_tokens)
    watch = Stopwatch()
    peer: Sample
    mine: Sample
    if work.kind == DECODE:
        rows = ours.DecoderSteps(half, prompts, watch)
        peer, mine = (lambda: server.step_s(prompts, STEPS)), (lambda: rows.step_s(STEPS))
    else:
        prompt = ours.DecoderPrompt(half, prompts[0], watch)
        peer, mine = (lambda: server.prefill_s(prompts[0])), prompt.prefill_s
    turns = take_turns(peer, mine, run.repeats)
    return PeerResult(work, run.prompt_tokens, turns.race.fast_s, turns.race, others_cores=turns.others_cores)


def _prompts(vocab_size: int, rows: int, tokens: int) -> list[list[int]]:
    """Draw prompts of equal lengths; the last token of the vocabulary ends an answer at llama.cpp, and is left out."""
    ids: list[list[int]] = np.random.default_rng(0).integers(vocab_size - 1, size=(rows, tokens)).tolist()
    return ids


def _encoded(run: PeerRun, checkpoint: Checkpoint, dtype: str, work: Sequence[PeerWork]) -> Iterator[PeerResult]:
    """Compare the vision encoder with the tower of the same weights."""
    run.tell(f"vision encoder in {dtype}: loading")
    half = ours.load_encoder(checkpoint, dtype)
    yield from (_encoder_race(run, checkpoint, half, each) for each in work)


@torch.inference_mode()
def _encoder_race(run: PeerRun, checkpoint: Checkpoint, half: ours.LoadedHalf, work: PeerWork) -> PeerResult:
    tiles = noise_tiles(checkpoint.config, 1)
    watch, size = Stopwatch(), checkpoint.config.tiles

    def mine() -> float:
        return watch.once(lambda _: encode_fast(half.model, tiles))[1][-1]

    if work.peer is None:
        run.tell(f"encode, {size} tiles in {work.dtype}")
        alone = take_turns(mine, mine, run.repeats)
        return PeerResult(work, size, alone.race.fast_s, None, others_cores=alone.others_cores)
    run.tell(f"OpenVINO {work.form}: compiling")
    tower = OpenVinoTower(trimmed(checkpoint, frozenset({"vision"})), size, work.form, run.threads)
    pixels = normalised(tiles[0], checkpoint.config.vision.patch_px)
    local = list(half.model.vision.encode_local(torch.from_numpy(tiles[0])))
    agreement = features_alike(local, tower(pixels))
    run.tell(f"encode, {size} tiles in {work.dtype}, and {work.against}")
    turns = take_turns(lambda: watch.once(lambda _: tower(pixels))[1][-1], mine, run.repeats)
    return PeerResult(work, size, turns.race.fast_s, turns.race, agreement, turns.others_cores)

"""Preemption in the engine: who gives up a slot for another client goes on as if nothing had been."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from service.messages.from_worker import Admitted, Finished, Preempted
from service.messages.rows import Flow, Row
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from service.worker.scheduling.budget import StepBudget
from tests.service.worker.test_engine import Collected, alone, row
from tests.support.golden import Golden, fp32_runner, noise_image

GREEDY, OTHER = Flow("greedy"), Flow("other")
LONG = {"max_tokens": 60, "temperature": 1.0}


def of(flow: Flow, asked: Row) -> Row:
    return Row(asked.id, asked.instruction, asked.sampling, explain=asked.explain, flow=flow, traced=True)


class Watched(Collected):
    """What an engine said, and who was preempted and admitted how often."""

    def __init__(self) -> None:
        super().__init__()
        self.preempted: Counter[str] = Counter()
        self.admitted: list[str] = []

    def step(self, engine: Engine) -> None:
        done = engine.step()
        self.add(done)
        self.preempted.update(event.id for event in done.events if isinstance(event, Preempted))
        self.admitted += [event.id for event in done.events if isinstance(event, Admitted) and not event.resumed]


class SteadyBudget(StepBudget):
    """A budget that learns the same costs on every machine, so that every run plans the same steps."""

    def encoded(self, tiles: int, seconds: float) -> None:
        super().encoded(tiles, 0.001 * tiles)

    def prefilled(self, prompts: int, seconds: float) -> None:
        super().prefilled(prompts, 0.001 * prompts)

    def decoded(self, seconds: float) -> None:
        super().decoded(0.01)


def flood(tiny, engine: Engine, rows: int, flow: Flow = GREEDY, **sampling) -> list[Row]:
    """Long requests of one client, each about an image of its own."""
    asked = [of(flow, row(f"{flow.client}{number}", "Go on.", **LONG | {"seed": number} | sampling))
             for number in range(rows)]  # fmt: skip
    for number, each in enumerate(asked):
        engine.submit(Submit(noise_image(tiny, number), (each,)))
    return asked


def test_a_short_request_beside_a_flood_gets_a_slot_at_once_and_the_row_that_lost_it_goes_on(tiny) -> None:
    engine, watched = Engine(fp32_runner(tiny, slots=2), stall_s=60.0), Watched()
    flood(tiny, engine, 8)
    while len(watched.tokens.get("greedy0", [])) < 12:
        watched.step(engine)
    engine.submit(Submit(noise_image(tiny, 99), (of(OTHER, row("short", "What?", max_tokens=3)),)))
    steps = 0
    while "short" not in watched.ended:
        watched.step(engine)
        steps += 1
    assert steps <= 5
    assert watched.preempted.total() == 1
    assert watched.admitted[-1] == "short"
    while engine.busy:
        watched.step(engine)
    assert len(watched.ended) == 9
    assert all(isinstance(ended, Finished) for ended in watched.ended.values())
    (loser,) = watched.preempted
    assert [each.name for each in watched.ended[loser].phases][-4:] == ["decode", "queue", "prefill", "decode"]


@pytest.mark.parametrize(
    ("seed", "steps", "cache_bytes"),
    [(0, "eager", 1 << 24), (1, "fixed", 0)],
    ids=["eager steps, features are kept", "fixed steps, nothing is kept"],
)
def test_preemption_in_a_crowd_changes_no_answer(golden: Golden, seed: int, steps: str, cache_bytes: int) -> None:
    """Two clients' long answers and a third's short ones that push in, greedy and sampled, explained and not."""
    chance = random.Random(seed)
    runner = golden.runner(slots=3, feature_cache_bytes=cache_bytes, steps=steps)
    lonely = golden.runner(slots=1)
    crowd = []
    for number in range(18):
        flow = Flow("abc"[number % 3], priority=chance.choice(["interactive", "bulk"]))
        settings = {} if chance.random() < 0.4 else {"temperature": 1.0, "seed": chance.getrandbits(60)}
        case = chance.choice(golden.cases)
        asked = row(number, case["question"], max_tokens=chance.choice([5, 30, 60]), **settings)
        asked = Row(asked.id, asked.instruction, asked.sampling, explain=chance.random() < 0.2, flow=flow)
        crowd.append((golden.image(case["image"]), asked))
    engine, watched = Engine(runner, stall_s=0.25), Watched()
    engine._planner.budget = SteadyBudget(0.25, runner.config.tiles, runner.slots)
    arrivals = {number: 2 * number for number in range(len(crowd))}
    for step in range(3000):
        for number, (image, asked) in enumerate(crowd):
            if arrivals[number] == step:
                engine.submit(Submit(image, (asked,)))
        if engine.busy:
            watched.step(engine)
        elif step > max(arrivals.values()):
            break
    assert watched.preempted.total() > 0
    for image, asked in crowd:
        tokens, text = alone(lonely, image, asked)
        assert watched.tokens[asked.id] == tokens, (asked, watched.preempted[asked.id])
        assert watched.text[asked.id] == text
        ended = watched.ended[asked.id]
        assert ended.usage.completion_tokens == len(tokens)
        assert (ended.explanation is not None) == asked.explain
        if ended.explanation is not None:
            assert len(ended.explanation.words) > 0 or not text.strip()
    assert sum(report.generated_tokens for report in watched.reports) == sum(map(len, watched.tokens.values()))
    prompts = sum(len(runner.prompt(asked.instruction)) for _, asked in crowd)
    assert sum(report.prompt_tokens for report in watched.reports) == prompts
    assert not engine._running
    assert not engine._waiting.opened


def test_a_preempted_row_keeps_its_features_though_the_cache_has_no_room_for_them(tiny) -> None:
    image_bytes = 4 * tiny.config.image_tokens * tiny.config.vision.width
    runner = fp32_runner(tiny, slots=1, feature_cache_bytes=image_bytes)
    engine, watched = Engine(runner, stall_s=60.0), Watched()
    engine.submit(
        Submit(noise_image(tiny, 1), (of(Flow("a", priority="bulk"), row("long", "Go on.", **LONG, seed=1)),))
    )
    while len(watched.tokens.get("long", [])) < 12:
        watched.step(engine)
    engine.submit(Submit(noise_image(tiny, 1), (of(OTHER, row("same", "What?", max_tokens=3)),)))
    while engine.busy:
        watched.step(engine)
    assert watched.preempted == {"long": 1}
    assert sum(report.encoded_tiles for report in watched.reports) == tiny.config.tiles
    assert watched.ended["long"].usage.image_features_cached is False
    assert len(watched.ended) == 2


def test_two_floods_share_the_slots_and_stop_taking_them_from_each_other(tiny) -> None:
    engine, watched = Engine(fp32_runner(tiny, slots=4), stall_s=60.0), Watched()
    flood(tiny, engine, 8, max_tokens=200)
    while len(watched.tokens.get("greedy3", [])) < 12:
        watched.step(engine)
    flood(tiny, engine, 8, OTHER, max_tokens=200)
    for _ in range(60):
        watched.step(engine)
    held = Counter(each.flow.client for each in engine._running.values())
    assert held == {"greedy": 2, "other": 2}
    assert watched.preempted.total() == 2


def test_a_cancelled_row_that_was_preempted_leaves_nothing_behind(tiny) -> None:
    engine, watched = Engine(fp32_runner(tiny, slots=1), stall_s=60.0), Watched()
    flood(tiny, engine, 1, Flow("a", priority="bulk"))
    while len(watched.tokens.get("a0", [])) < 12:
        watched.step(engine)
    engine.submit(Submit(noise_image(tiny, 5), (of(OTHER, row("short", "What?", max_tokens=30)),)))
    while not watched.preempted:
        watched.step(engine)
    engine.cancel(["a0"])
    while engine.busy:
        watched.step(engine)
    assert "a0" not in watched.ended
    assert not engine._waiting.opened
    assert not engine._queue.rows


def test_the_encoding_of_a_flood_hardly_delays_a_client_that_asks_for_little(tiny) -> None:
    engine, watched = Engine(fp32_runner(tiny, slots=4), stall_s=60.0), Watched()
    engine.submit(Submit(noise_image(tiny, 77), (of(OTHER, row("mine", "What?", max_tokens=40, temperature=1.0)),)))
    while len(watched.tokens.get("mine", [])) < 5:
        watched.step(engine)
    for number in range(30):
        asked = of(GREEDY, row(number, "Go on.", max_tokens=1))
        engine.submit(Submit(noise_image(tiny, 100 + number), (asked,)))
    before = len(watched.reports)
    while len(watched.tokens["mine"]) < 15:
        watched.step(engine)
    most = max(report.encoded_tiles for report in watched.reports[before:])
    decode_s = max(report.decode_s for report in watched.reports[before:])
    tile_s = min(report.encode_s / report.encoded_tiles for report in watched.reports if report.encoded_tiles)
    assert most <= max(1, 10 * decode_s / tile_s)  # and not what 60 s hold
    assert most < 4 * tiny.config.tiles

"""The engine: a row never feels its neighbours, whatever arrives, leaves, is cached or fails around it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.network.cross_attention import CrossAttentionBlock
from model.pixels.tiles import ImageKey, TiledImage
from model.prompt import render
from model.request import Sampling, TileSpan
from model.runtime.runner import ModelRunner
from service.messages.from_worker import Admitted, Broken, Delta, Finished, Refused, StepDone
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from service.worker.scheduling.prefetch_queue import MAX_PREFETCH
from tests.support.golden import Golden, fp32_runner, noise_image

TOKENS = 24


class Collected:
    """Everything an engine said about its rows."""

    def __init__(self) -> None:
        self.text: dict[str, str] = {}
        self.tokens: dict[str, list[int]] = {}
        self.logprobs: dict[str, list[float]] = {}
        self.ended: dict[str, Any] = {}
        self.reports: list[Any] = []

    def add(self, done: StepDone) -> None:
        self.reports.append(done.report)
        for event in done.events:
            if isinstance(event, Delta | Finished):
                self.text[event.id] = self.text.get(event.id, "") + event.text
            if isinstance(event, Delta):
                self.tokens.setdefault(event.id, []).extend(event.tokens)
                self.logprobs.setdefault(event.id, []).extend(told.logprob for told in event.logprobs)
            if isinstance(event, Finished | Refused | Broken):
                assert event.id not in self.ended
                self.ended[event.id] = event


def run(engine: Engine, each_step: Callable[[int], None] = lambda _: None, limit: int = 3000) -> Collected:
    collected, step = Collected(), 0
    each_step(step)
    while engine.busy:
        collected.add(engine.step())
        step += 1
        each_step(step)
        assert step < limit
    return collected


def row(name: object, question: str, **sampling: Any) -> Row:
    return Row(str(name), question, Sampling(**({"max_tokens": TOKENS} | sampling)))


def submit(engine: Engine, image: TiledImage, *rows: Row) -> None:
    engine.submit(Submit(image, rows))


def alone(runner: ModelRunner, image: TiledImage, request: Row) -> tuple[list[int], str]:
    engine = Engine(runner, stall_s=1.0)
    submit(engine, image, request)
    collected = run(engine)
    return collected.tokens[request.id], collected.text[request.id]


def test_every_golden_case_is_answered_alone_and_all_at_once(golden: Golden) -> None:
    runner = golden.runner()
    for slots_in_use in ("alone", "together"):
        engine, collected = Engine(runner, stall_s=0.25), Collected()
        for case in golden.cases:
            submit(engine, golden.image(case["image"]), row(case["case"], case["question"]))
            if slots_in_use == "alone":
                while engine.busy:
                    collected.add(engine.step())
        while engine.busy:
            collected.add(engine.step())
        for case in golden.cases:
            assert collected.text[str(case["case"])].lstrip() == case["answer"]
            assert collected.tokens[str(case["case"])] == case["greedy_eos"]


@pytest.mark.parametrize("seed", range(6))
def test_a_crowd_with_cancellations_and_sampling_changes_no_answer(golden: Golden, seed: int) -> None:
    """Staggered arrivals, cancellations at random moments, few slots, a cache too small for all images."""
    chance = random.Random(seed)
    images = {case["image"]: golden.image(case["image"]) for case in golden.cases}
    naive, twin_features = golden.naive(), golden.tensors
    crowd = []
    for number in range(16):
        case = chance.choice(golden.cases)
        settings = {} if chance.random() < 0.6 else {"temperature": 0.9, "top_p": 0.9, "seed": chance.getrandbits(60)}
        crowd.append((case, row(f"{number}", case["question"], **settings)))
    expected = {}
    lonely = golden.runner(slots=1, feature_cache_bytes=0)
    for case, request in crowd:
        if request.sampling.temperature:
            expected[request.id] = alone(lonely, images[case["image"]], request)[0]
        else:
            seen = twin_features[f"vision.{case['image_index']}"][None]
            eos = golden.checkpoint.tokenizer.eos_id
            expected[request.id] = naive.generate(case["input_ids"], seen, TOKENS, eos)
    one_image_bytes = 4 * golden.checkpoint.config.image_tokens * golden.checkpoint.config.vision.width
    engine = Engine(
        golden.runner(slots=chance.choice([2, 3, 8]), feature_cache_bytes=2 * one_image_bytes), stall_s=0.25
    )
    arrivals = {number: chance.randrange(0, 40) for number in range(len(crowd))}
    cancelled = set(chance.sample(range(len(crowd)), 5))
    moments = {number: arrivals[number] + chance.randrange(0, 25) for number in cancelled}

    def each_step(step: int) -> None:
        for number, (case, request) in enumerate(crowd):
            if arrivals[number] == step:
                submit(engine, images[case["image"]], request)
            if moments.get(number) == step:
                engine.cancel([request.id])

    collected = Collected()
    for step in range(400):
        each_step(step)
        if engine.busy:
            collected.add(engine.step())
    assert not engine.busy
    for number, (_, request) in enumerate(crowd):
        if number not in cancelled:
            assert collected.tokens[request.id] == expected[request.id], request
        else:
            so_far = collected.tokens.get(request.id, [])
            assert so_far == expected[request.id][: len(so_far)]
    assert collected.reports[-1].slots_used == 0


def test_a_second_question_about_an_image_encodes_no_tile(golden: Golden) -> None:
    engine, image = Engine(golden.runner(), stall_s=0.25), golden.image(golden.cases[0]["image"])
    submit(engine, image, replace(row("first", "What?"), traced=True))
    first = run(engine)
    submit(engine, image, row("second", "Why?"))
    second = run(engine)
    phases = first.ended["first"].phases
    assert [each.name for each in phases if each.name != "queue"] == ["encode", "prefill", "decode"]
    assert all(before.end_s == after.start_s for before, after in pairwise(phases))
    assert second.ended["second"].phases == ()  # not traced
    assert sum(report.encoded_tiles for report in first.reports) == golden.checkpoint.config.tiles
    assert sum(report.encoded_tiles for report in second.reports) == 0
    assert not first.ended["first"].usage.image_features_cached
    assert second.ended["second"].usage.image_features_cached
    assert sum(report.cache_hits for report in second.reports) == 1


def test_many_questions_about_one_image_encode_and_project_it_once(golden: Golden, monkeypatch) -> None:
    """The original projects keys and values of all image tokens at every decoded token."""
    projections = []
    project = CrossAttentionBlock.project
    monkeypatch.setattr(CrossAttentionBlock, "project", lambda *given: projections.append(1) or project(*given))
    engine, image = Engine(golden.runner(), stall_s=0.25), golden.image(golden.cases[0]["image"])
    submit(engine, image, *(row(number, f"Question {number}?") for number in range(5)))
    collected = run(engine)
    assert len(collected.ended) == 5
    assert sum(report.encoded_tiles for report in collected.reports) == golden.checkpoint.config.tiles
    assert len(projections) == len(golden.checkpoint.config.cross_layers)
    submit(engine, image, row("later", "And now?"))
    run(engine)
    assert len(projections) == len(golden.checkpoint.config.cross_layers)


def test_rows_given_to_another_engine_midway_continue_where_they_were(golden: Golden) -> None:
    """A replay after a worker's death goes on where it was: the tokens already given are read, not generated again."""
    runner, other = golden.runner(), golden.runner()
    for number, case in enumerate(golden.cases[:8]):
        settings = {"temperature": 1.0, "seed": number} if number % 2 else {}
        request, image = row("r", case["question"], **settings), golden.image(case["image"])
        tokens, text = alone(runner, image, request)
        for cut in {1, len(tokens) // 2, len(tokens) - 1} & set(range(1, len(tokens))):
            stream = runner.text_stream(())
            shown = "".join(stream.push(token) for token in tokens[:cut])
            again = Row("r", request.instruction, request.sampling, given=tuple(tokens[:cut]))
            rest_tokens, rest_text = alone(other, image, again)
            assert tokens[:cut] + rest_tokens == tokens
            assert shown + rest_text == text


def test_rows_sent_ahead_get_the_next_slot_though_others_came_first_and_are_encoded(tiny) -> None:
    engine = Engine(fp32_runner(tiny, slots=2), stall_s=60.0)
    for name in range(6):
        submit(engine, noise_image(tiny, seed=name), row(name, "What is it?"))
    admitted: list[str] = []
    while engine.busy:
        admitted += [event.id for event in engine.step().events if isinstance(event, Admitted)]
        if admitted == ["0", "1"] and "ahead" not in engine._waiting:
            engine.submit(Submit(noise_image(tiny, seed=9), (row("ahead", "And this?"),), ahead=True))
    assert admitted == ["0", "1", "ahead", "2", "3", "4", "5"]


def test_a_row_whose_numbers_go_wrong_fails_alone_and_leaves_nothing_behind(golden: Golden, monkeypatch) -> None:
    runner, images = golden.runner(slots=2), [golden.image(golden.cases[index]["image"]) for index in (0, 3)]
    good, bad = row("good", "What is in the image?"), row("bad", "Read it.")
    expected = alone(runner, images[0], good)
    open_image = runner.open_image

    def poisoned(image: TiledImage) -> int:
        known = open_image(image)
        if image is images[1]:
            opened, vision = runner._images[image.image_key], golden.checkpoint.config.vision
            opened.features[:] = [torch.full((vision.tokens_per_tile, vision.width), float("nan"))] * len(
                opened.features
            )
            opened.missing, opened.encoded = (), golden.checkpoint.config.tiles
        return known

    monkeypatch.setattr(runner, "open_image", poisoned)
    engine = Engine(runner, stall_s=0.25)
    submit(engine, images[1], bad)
    submit(engine, images[0], good)
    collected = run(engine)
    assert isinstance(collected.ended["bad"], Broken)
    assert (collected.tokens["good"], collected.text["good"]) == expected
    monkeypatch.undo()
    for _ in range(3):  # through the slot the failed row had, too
        assert alone(runner, images[0], good) == expected


def test_a_failed_call_does_not_poison_the_next(golden: Golden) -> None:
    runner, image = golden.runner(), golden.image(golden.cases[0]["image"])
    expected = alone(runner, image, row("r", "What?"))
    wrong = noise_image(golden.checkpoint)
    object.__setattr__(wrong, "tiles", wrong.tiles[:, :5])
    engine = Engine(runner, stall_s=0.25)
    submit(engine, wrong, row("wrong", "What?"))
    with pytest.raises(ValueError, match="tiles have shape"):
        engine.step()
    assert alone(runner, image, row("r", "What?")) == expected


def test_text_that_looks_like_the_prompt_truncates_nothing(golden: Golden) -> None:
    """The original cuts the answer at the last "Output:", which a user can write too."""
    case = next(case for case in golden.cases if "Output:" in case["question"])
    _, text = alone(golden.runner(), golden.image(case["image"]), row("r", case["question"]))
    assert text.lstrip() == case["answer"]


def test_a_literal_end_of_text_in_a_question_is_read_as_text(golden: Golden) -> None:
    prompt = golden.runner().prompt("Is <|endoftext|> written here?")
    assert golden.checkpoint.tokenizer.eos_id not in prompt
    assert golden.checkpoint.tokenizer.decode(prompt) == render("Is <|endoftext|> written here?")


def test_a_stop_string_ends_the_answer_before_it(golden: Golden) -> None:
    runner, case = golden.runner(), max(golden.cases, key=lambda case: len(case["answer"]))
    image, whole = golden.image(case["image"]), case["answer"]
    stop = whole[5:7]
    engine = Engine(runner, stall_s=0.25)
    submit(engine, image, row("r", case["question"], stop=(stop,)))
    collected = run(engine)
    assert collected.text["r"].lstrip() == whole[: whole.find(stop)]
    assert collected.ended["r"].finish_reason == "stop"


@pytest.mark.parametrize(
    ("question", "tokens", "field"),
    [("What?", 500, "settings.max_tokens"), ("why " * 600, 5, "question")],
    ids=["answer too long", "question too long"],
)
def test_a_row_that_cannot_fit_is_refused_with_the_field_to_change(
    golden: Golden, question: str, tokens: int, field: str
) -> None:
    engine = Engine(golden.runner(), stall_s=0.25)
    submit(engine, golden.image(golden.cases[0]["image"]), row("r", question, max_tokens=tokens))
    refused = run(engine).ended["r"]
    assert isinstance(refused, Refused)
    assert refused.field == field
    assert "512 tokens" in refused.detail


def test_a_book_is_refused_before_anybody_counts_its_tokens(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = golden.runner()
    engine, image = Engine(runner, stall_s=0.25), golden.image(golden.cases[0]["image"])
    with monkeypatch.context() as patched:
        patched.setattr(runner, "prompt", lambda text: pytest.fail(f"{len(text)} characters were encoded"))
        submit(engine, image, row("r", "why " * 5_000_000))
    refused = run(engine).ended["r"]
    assert isinstance(refused, Refused)
    assert refused.field == "question"
    assert "tokens or more fills the context of 512 tokens" in refused.detail


def test_a_row_that_cannot_be_taken_up_fails_alone(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = golden.runner()
    engine, image, good = Engine(runner, stall_s=0.25), golden.image(golden.cases[0]["image"]), row("good", "What?")
    expected, prompt = alone(runner, image, good), runner.prompt

    def broken(text: str) -> list[int]:
        if "bad" in text:
            raise RuntimeError("no memory for it")
        return prompt(text)

    monkeypatch.setattr(runner, "prompt", broken)
    submit(engine, image, row("bad", "What is bad?"), good)
    collected = run(engine)
    assert isinstance(collected.ended["bad"], Broken)
    assert (collected.tokens["good"], collected.text["good"]) == expected


def test_a_default_answer_length_is_shortened_to_the_room_that_is_left(golden: Golden) -> None:
    engine, prompt = Engine(golden.runner(context_tokens=90), stall_s=0.25), golden.runner().prompt("What?")
    asked = Row("r", "What?", Sampling(max_tokens=500), may_shorten=True)
    submit(engine, golden.image(golden.cases[1]["image"]), asked)
    ended = run(engine).ended["r"]
    assert ended.usage.completion_tokens <= 90 - len(prompt)
    submit(engine, golden.image(golden.cases[1]["image"]), Row("s", "why " * 90, Sampling(), may_shorten=True))
    assert run(engine).ended["s"].field == "question"


def test_an_image_is_encoded_in_pieces_while_others_decode(tiny) -> None:
    """A new image may not hold up running rows for longer than the bound, or one tile."""
    runner = fp32_runner(tiny)
    engine = Engine(runner, stall_s=0.0)
    submit(engine, noise_image(tiny, 1), row("running", "What?", max_tokens=60))
    engine.step()
    submit(engine, noise_image(tiny, 2), row("new", "What?"))
    reports = []
    while engine.busy:
        reports.append(engine.step().report)
    pieces = [report.encoded_tiles for report in reports if report.encoded_tiles]
    assert pieces == [1] * tiny.config.tiles
    assert all(report.decode_rows for report in reports)


def test_a_prefetched_image_is_encoded_when_somebody_asks_about_it(golden: Golden) -> None:
    engine, image = Engine(golden.runner(), stall_s=0.25), golden.image(golden.cases[0]["image"])
    engine.prefetch(image)
    engine.prefetch(image)
    before = run(engine)
    assert sum(report.encoded_tiles for report in before.reports) == golden.checkpoint.config.tiles
    assert not engine._runner._images._open
    submit(engine, image, row("r", golden.cases[0]["question"]))
    after = run(engine)
    assert sum(report.encoded_tiles for report in after.reports) == 0
    assert after.text["r"].lstrip() == golden.cases[0]["answer"]


def test_a_row_that_runs_alone_is_not_blamed_for_images_that_were_to_be_encoded_ahead(tiny: Checkpoint) -> None:
    runner = fp32_runner(tiny)
    engine = Engine(runner, stall_s=0.25)
    engine.prefetch(noise_image(tiny, 1))
    engine.submit(Submit(noise_image(tiny, 2), (Row("alone", "What is it?", Sampling(max_tokens=4)),), ahead=True))
    collected = run(engine)
    assert isinstance(collected.ended["alone"], Finished)
    assert sum(report.encoded_tiles for report in collected.reports) <= runner.config.tiles
    assert not runner._images._open


def test_an_image_made_of_known_tiles_is_told_of_at_once_when_it_is_prefetched(tiny: Checkpoint) -> None:
    engine, image = Engine(fp32_runner(tiny), stall_s=0.25), noise_image(tiny)
    submit(engine, image, row("first", "What?", max_tokens=1))
    run(engine)
    engine.prefetch(replace(image, image_key=ImageKey("of the same tiles")))
    assert engine.busy
    assert "of the same tiles" in engine.step().cache.added
    assert not engine.busy


def waits_with_its_image(tiny: Checkpoint, encoded: int) -> tuple[Engine, TiledImage]:
    """An engine with a row that waits, and whose image is open and encoded so far."""
    engine, image = Engine(fp32_runner(tiny), stall_s=0.25), noise_image(tiny)
    submit(engine, image, row("waits", "What?", max_tokens=1))
    engine._waiting.open_first({}, {})
    if encoded:
        engine._runner.encode([TileSpan(image.image_key, 0, encoded)])
    return engine, image


def test_an_image_is_prefetched_though_the_row_that_it_would_have_been_encoded_for_is_cancelled(
    tiny: Checkpoint,
) -> None:
    engine, image = waits_with_its_image(tiny, encoded=2)
    engine.prefetch(image)
    engine.cancel(["waits"])
    assert [key for report in told(engine) for key in report.cache.added] == [image.image_key]
    assert not engine._runner._images._open


@pytest.mark.parametrize("encoded", [0, 2, 5])
@pytest.mark.parametrize("known", [False, True])
def test_an_image_that_was_deleted_and_is_prefetched_anew_stays_though_an_older_row_has_it(
    tiny: Checkpoint, encoded: int, known: bool
) -> None:
    engine, image = waits_with_its_image(tiny, encoded)
    if known:
        told(engine)
        submit(engine, image, row("again", "What?", max_tokens=1))
        engine._waiting.open_first({}, {})
    engine.forget(image.image_key)
    engine.prefetch(image)
    told(engine)
    assert engine._runner._images._cache.get(image.image_key) is not None
    assert not engine._runner._images._open


def told(engine: Engine) -> list[StepDone]:
    steps = []
    while engine.busy:
        steps.append(engine.step())
    return steps


def test_tiles_are_told_to_be_encoded_for_the_next_row_when_the_first_is_cancelled(tiny: Checkpoint) -> None:
    engine = Engine(fp32_runner(tiny), stall_s=0.25)
    submit(engine, noise_image(tiny), row("first", "What?"), row("second", "Why?"), row("third", "Who?"))
    engine._waiting.open_first({}, {})
    assert [engine._waiting[name].cached_tiles for name in ("first", "second", "third")] == [0, 5, 5]
    engine.cancel(["first"])
    ended = run(engine).ended
    assert [ended[name].usage.image_tiles_cached for name in ("second", "third")] == [0, 5]


def test_prefetching_takes_only_the_tiles_that_waiting_rows_leave(tiny) -> None:
    runner = fp32_runner(tiny, slots=1)
    engine = Engine(runner, stall_s=0.0)
    submit(engine, noise_image(tiny, 1), row("running", "What?", max_tokens=60))
    engine.step()
    engine.prefetch(noise_image(tiny, 2))
    submit(engine, noise_image(tiny, 3), row("waiting", "What?", max_tokens=1))
    for encoded in range(1, tiny.config.tiles + 1):
        engine.step()
        assert runner.encoded_tiles(noise_image(tiny, 3).image_key) == encoded
        assert runner.encoded_tiles(noise_image(tiny, 2).image_key) == 0
    assert len(run(engine).ended) == 2


def test_more_wishes_than_fit_drop_the_oldest_and_leak_nothing(golden: Golden) -> None:
    runner = golden.runner()
    engine = Engine(runner, stall_s=0.25)
    for seed in range(MAX_PREFETCH + 5):
        engine.prefetch(noise_image(golden.checkpoint, seed, (5, 5)))
    assert len(runner._images._open) == MAX_PREFETCH
    engine.forget(noise_image(golden.checkpoint, 10, (5, 5)).image_key)
    run(engine)
    assert not runner._images._open
    assert len(runner._images._cache) == MAX_PREFETCH - 1


def test_a_forgotten_image_is_told_and_encoded_again_when_asked_about(golden: Golden) -> None:
    engine, image = Engine(golden.runner(), stall_s=0.25), golden.image(golden.cases[0]["image"])
    submit(engine, image, row("first", "What?"))
    run(engine)
    engine.forget(image.image_key)
    assert engine.step().cache.dropped == (image.image_key,)
    submit(engine, image, row("second", "What?"))
    assert not run(engine).ended["second"].usage.image_features_cached


def test_cancelled_rows_free_their_slot_and_their_image_at_once(golden: Golden) -> None:
    runner = golden.runner(slots=1)
    engine = Engine(runner, stall_s=0.25)
    submit(engine, golden.image(golden.cases[0]["image"]), row("a", "What?"), row("b", "Why?"))
    engine.step()
    engine.cancel(["a", "b", "never heard of"])
    assert engine.step().report.slots_used == 0
    assert not engine.busy
    assert not runner._images._open
    assert runner._slots.lengths == [0]


def test_memory_stays_within_the_bound_after_a_thousand_distinct_images(golden: Golden) -> None:
    config = golden.checkpoint.config
    one_image_bytes = 4 * config.image_tokens * config.vision.width
    runner = golden.runner(feature_cache_bytes=10 * one_image_bytes)
    engine = Engine(runner, stall_s=0.25)
    for number in range(1000):
        submit(engine, noise_image(golden.checkpoint, number, (4, 4)), row(number, "?", max_tokens=1))
    assert len(run(engine, limit=5000).ended) == 1000
    assert runner.cache_bytes == 10 * one_image_bytes
    assert not runner._images._open
    held = sum(features.untyped_storage().nbytes() for features in runner._images._cache._tiles.values())
    assert held == runner.cache_bytes  # the tensors kept are no views of larger ones


def test_warm_up_leaves_no_trace(golden: Golden) -> None:
    runner, image = golden.runner(), golden.image(golden.cases[0]["image"])
    expected = alone(runner, image, row("r", "What?"))
    runner.warm_up()
    assert runner._slots.lengths == [0] * 8
    assert alone(runner, image, row("r", "What?")) == expected
    assert torch.isfinite(runner._slots.keys).all()


def test_a_flood_of_prefetched_images_takes_up_one_of_them_in_a_step_at_most(tiny) -> None:
    engine, tiles = Engine(fp32_runner(tiny), stall_s=10.0), tiny.config.tiles
    run_first(engine, tiny)
    for seed in range(2, 8):
        engine.prefetch(noise_image(tiny, seed))
    assert engine.step().report.encoded_tiles == tiles
    submit(engine, noise_image(tiny, 1), row("asks", "What?", max_tokens=9))
    assert engine.step().report.encoded_tiles == 0
    assert "asks" in run(engine).ended


def run_first(engine: Engine, tiny) -> None:
    """Let the engine learn what tiles, prompts and steps cost."""
    submit(engine, noise_image(tiny, 1), row("first", "What?", max_tokens=4))
    run(engine)


def test_a_row_has_the_cores_of_others_while_it_is_alone_and_no_other_worker_has_any(golden: Golden) -> None:
    told: list[bool] = []
    engine = Engine(golden.runner(), stall_s=1.0, use_cores=told.append)
    first, second, *_ = golden.cases

    def ask(case: dict[str, Any], name: str) -> None:
        submit(engine, golden.image(case["image"]), row(name, case["question"]))

    ask(first, "while others work")
    run(engine)
    assert told == []
    engine.others_idle = True
    ask(first, "alone")
    run(engine)
    assert told == [True]
    ask(first, "one of two")
    ask(second, "the other")
    collected = run(engine)
    assert told[:2] == [True, False]
    assert {collected.text[name].lstrip() for name in ("one of two", "the other")} == {
        first["answer"],
        second["answer"],
    }

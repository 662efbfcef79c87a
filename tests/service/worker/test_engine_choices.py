"""Rows with choices: always one of them, as probable as the naive twin says, whatever goes on around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from model.about import About
from model.prompt import AnswerStyle, offered_answers, question_instruction
from model.request import Sampling
from service.messages.from_worker import Broken, Finished, Refused
from service.messages.rows import Flow, Row
from service.worker.engine import Engine
from tests.service.worker.test_engine import Collected, row, run, submit
from tests.support.golden import Golden, fp32_runner, noise_image
from tests.support.likelihood import Likelihood

ANIMALS = ["cat", "dog", "cat and dog"]


def choosing(
    name: object, style: AnswerStyle = "choice", choices: Sequence[str] = ANIMALS, explain: bool = False, **sampling
) -> Row:
    instruction = question_instruction("Which animal?", style, choices)
    offered = offered_answers(style, choices)
    return Row(str(name), instruction, Sampling(**({"max_tokens": 24} | sampling)), choices=offered, explain=explain)


def answered(collected: Collected, asked: Row) -> Finished:
    ended = collected.ended[asked.id]
    assert isinstance(ended, Finished), ended
    assert ended.finish_reason == "stop"
    assert collected.text[asked.id] in asked.choices
    assert len(ended.probabilities) == len(asked.choices)
    assert sum(ended.probabilities) == pytest.approx(1.0)
    assert ended.usage.completion_tokens == len(collected.tokens[asked.id]) == len(collected.logprobs[asked.id])
    return ended


@pytest.mark.parametrize("style", ["choice", "short", "sentence"])
def test_the_answer_is_the_choice_that_the_naive_twin_finds_most_probable(golden: Golden, style: AnswerStyle) -> None:
    runner, naive = golden.runner(), Likelihood(golden.checkpoint)
    for case in golden.cases[:4]:
        engine, image, asked = Engine(runner, stall_s=0.25), golden.image(case["image"]), choosing("r", style)
        submit(engine, image, asked)
        ended = answered(collected := run(engine), asked)
        expected = naive.probabilities(image, asked.instruction, asked.choices)
        assert ended.probabilities == pytest.approx(expected, abs=1e-4)
        best = max(range(3), key=expected.__getitem__)
        assert collected.text["r"] == asked.choices[best]
        wanted = naive.of_choices(image, asked.instruction, asked.choices)[best]
        assert collected.logprobs["r"] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("steps", ["eager", "fixed"])
@pytest.mark.parametrize("seed", range(2))
def test_a_crowd_changes_no_choice_and_no_choice_changes_the_crowd(golden: Golden, seed: int, steps: str) -> None:
    """Rows with and without choices, greedy and sampled, of two clients who preempt each other, explained or not."""
    chance = random.Random(seed)
    runner, lonely = golden.runner(slots=3, feature_cache_bytes=0, steps=steps), golden.runner(slots=1)
    crowd = []
    for number in range(20):
        settings = {} if chance.random() < 0.5 else {"temperature": 1.0, "seed": chance.getrandbits(60)}
        case, flow = chance.choice(golden.cases), Flow("ab"[number % 2])
        asked = (
            choosing(number, chance.choice(["choice", "short"]), explain=chance.random() < 0.2, **settings)
            if chance.random() < 0.6
            else row(number, case["question"], **settings)
        )
        asked = Row(
            asked.id, asked.instruction, asked.sampling, explain=asked.explain, choices=asked.choices, flow=flow
        )
        crowd.append((golden.image(case["image"]), asked))
    engine = Engine(runner, stall_s=0.25)

    def arrive(step: int) -> None:
        if step % 2 == 0 and step // 2 < len(crowd):
            submit(engine, crowd[step // 2][0], crowd[step // 2][1])

    together, step = Collected(), 0
    while engine.busy or step <= 2 * len(crowd):
        arrive(step)
        together.add(engine.step())
        step += 1
    for image, asked in crowd:
        apart = Engine(lonely, stall_s=0.25)
        submit(apart, image, asked)
        alone = run(apart)
        assert together.tokens[asked.id] == alone.tokens[asked.id]
        assert together.text[asked.id] == alone.text[asked.id]
        assert together.logprobs[asked.id] == pytest.approx(alone.logprobs[asked.id], abs=1e-4)
        ended = together.ended[asked.id]
        assert ended.probabilities == pytest.approx(alone.ended[asked.id].probabilities, abs=1e-4)
        assert (ended.explanation is not None) == asked.explain
        if asked.choices:
            answered(together, asked)
    assert together.reports[-1].slots_used == 0


def test_a_second_look_at_a_cached_image_gives_the_same_probabilities(golden: Golden) -> None:
    engine, image = Engine(golden.runner(), stall_s=0.25), golden.image(golden.cases[0]["image"])
    found = []
    for name in ("first", "second"):
        submit(engine, image, asked := choosing(name))
        collected = run(engine)
        found.append(answered(collected, asked))
    assert not found[0].usage.image_features_cached
    assert found[1].usage.image_features_cached
    assert found[1].probabilities == pytest.approx(found[0].probabilities, abs=1e-5)


def test_neither_max_tokens_nor_a_stop_string_cuts_a_choice(tiny) -> None:
    engine = Engine(fp32_runner(tiny), stall_s=0.25)
    choices = ["a long way to go", "another long way"]
    asked = choosing("r", "short", choices, max_tokens=1, stop=("long", "way"))
    submit(engine, noise_image(tiny), asked)
    assert answered(collected := run(engine), asked).usage.completion_tokens > 10
    assert collected.text["r"] in choices


def test_an_explained_choice_has_a_map_for_each_of_its_words(tiny) -> None:
    engine = Engine(fp32_runner(tiny), stall_s=0.25)
    submit(engine, noise_image(tiny), asked := choosing("r", "short", ["one two", "one three"], explain=True))
    explanation = answered(collected := run(engine), asked).explanation
    assert explanation is not None
    assert [word.text for word in explanation.words] == collected.text["r"].split()


def test_choices_that_leave_no_room_are_refused_by_name(tiny) -> None:
    engine = Engine(fp32_runner(tiny), stall_s=0.25)
    submit(engine, noise_image(tiny), choosing("r", "short", ["a" * 300, "b" * 300]))
    refused = run(engine).ended["r"]
    assert isinstance(refused, Refused)
    assert refused.field == "choices"
    assert "exceed the context of 512 tokens" in refused.detail


def test_a_choice_whose_numbers_are_not_finite_fails_alone(tiny, monkeypatch) -> None:
    runner = fp32_runner(tiny)
    score = runner._model.prefill_choices

    def spoiled(*given):
        edges = score(*given)
        if not passes:
            edges[0][0] = float("nan")
        passes.append(1)
        return edges

    passes: list[int] = []
    monkeypatch.setattr(runner._model, "prefill_choices", spoiled)
    engine = Engine(runner, stall_s=0.25)
    submit(engine, noise_image(tiny), choosing("bad"), choosing("good"), row("other", "What?"))
    collected = run(engine)
    assert [type(collected.ended[name]) for name in ("bad", "good", "other")] == [Broken, Finished, Finished]


def test_choices_are_doubted_where_the_sentence_for_other_images_is_more_probable(golden: Golden) -> None:
    """As the naive twin has it, which scores each text alone; and without a change to answer or probabilities."""
    naive, image, asked = Likelihood(golden.checkpoint), golden.image(golden.cases[0]["image"]), choosing("r", "short")
    doubts = []
    for sentence in ("q", "cat and dog and cat", "dog"):
        checkpoint = replace(golden.checkpoint, about=About("cats", sentence))
        engine = Engine(fp32_runner(checkpoint), stall_s=0.25)
        submit(engine, image, asked)
        ended = answered(run(engine), asked)
        assert ended.probabilities == pytest.approx(naive.probabilities(image, asked.instruction, ANIMALS), abs=1e-4)
        *choices, refusal = map(sum, naive.of_choices(image, asked.instruction, [*ANIMALS, sentence]))
        assert ended.outside == (refusal > max(choices)), sentence
        doubts.append(ended.outside)
    assert doubts == [True, False, False], "more probable, less probable, and one of the choices itself"


def test_an_answer_is_the_sentence_for_other_images_whole_or_cut_late(golden: Golden) -> None:
    case = golden.cases[0]
    image, asked = golden.image(case["image"]), row("r", case["question"], max_tokens=12)
    engine = Engine(golden.runner(), stall_s=0.25)
    submit(engine, image, asked)
    said = (collected := run(engine)).text["r"].strip()
    assert not collected.ended["r"].outside, "no sentence is known"
    for sentence, outside in ((said, True), (f"{said}.", True), (f"{said}, {said}, {said}", False), ("No.", False)):
        runner = fp32_runner(replace(golden.checkpoint, about=About("cats", sentence)))
        again = Engine(runner, stall_s=0.25)
        submit(again, image, asked)
        assert run(again).ended["r"].outside == outside, sentence


def test_where_choices_just_fit_they_are_answered_without_the_sentence_beside_them(golden: Golden) -> None:
    checkpoint = replace(golden.checkpoint, about=About("cats", "I see nothing that I know. " * 3 + "None."))
    asked, runner = choosing("r", "short"), golden.runner()
    room = len(runner.prompt(asked.instruction)) + len(runner.choice_tree(ANIMALS))
    engine = Engine(fp32_runner(checkpoint, context_tokens=room), stall_s=0.25)
    submit(engine, golden.image(golden.cases[0]["image"]), asked)
    assert not answered(run(engine), asked).outside

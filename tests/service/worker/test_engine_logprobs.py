"""Log-probabilities in the engine: the naive twin's, however a row is batched, sampled, preempted or replayed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.pixels.tiles import TiledImage
from model.request import TokenLogprob
from service.messages.from_worker import Delta, Finished
from service.messages.rows import Row
from service.worker.engine import Engine
from tests.service.worker.test_engine import row, submit
from tests.support.golden import Golden
from tests.support.likelihood import Likelihood

SAMPLED = {"temperature": 1.5, "top_p": 0.9, "seed": 3}
SETTINGS = pytest.mark.parametrize("settings", [{}, SAMPLED], ids=["greedy", "sampled"])


def told(engine: Engine, *asked: tuple[TiledImage, Row]) -> dict[str, tuple[list[int], list[TokenLogprob], int]]:
    """Tokens of each row, what was told of each, and how many were shown in the end."""
    for image, each in asked:
        submit(engine, image, each)
    answers: dict[str, tuple[list[int], list[TokenLogprob], int]] = {each.id: ([], [], 0) for _, each in asked}
    while engine.busy:
        for event in engine.step().events:
            if isinstance(event, Delta | Finished):
                tokens, logprobs, _ = answers[event.id]
                answers[event.id] = (tokens, logprobs, event.shown_tokens)
            if isinstance(event, Delta):
                tokens += event.tokens
                logprobs += event.logprobs
    return answers


@pytest.mark.parametrize("steps", ["eager", "fixed"])
@SETTINGS
def test_every_token_has_the_log_probability_that_the_naive_twin_gives_it(golden: Golden, steps, settings) -> None:
    naive = Likelihood(golden.checkpoint)
    crowd = [
        (golden.image(case["image"]), replace(row(case["case"], case["question"], **settings), top_logprobs=count))
        for case, count in zip(golden.cases[:5], [0, 1, 5, 20, 0], strict=True)
    ]
    answers = told(Engine(golden.runner(slots=3, steps=steps), stall_s=0.25), *crowd)
    for image, asked in crowd:
        tokens, logprobs, _ = answers[asked.id]
        expected = naive.distributions(image, asked.instruction, tokens)
        assert [each.logprob for each in logprobs] == pytest.approx(
            [float(expected[place, token]) for place, token in enumerate(tokens)], abs=1e-4
        )
        for place, each in enumerate(logprobs):
            best = expected[place].topk(asked.top_logprobs) if asked.top_logprobs else None
            assert [value for _, value in each.top] == pytest.approx(
                [] if best is None else best.values.tolist(), abs=1e-4
            )
            assert [value for token, value in each.top] == pytest.approx(
                [float(expected[place, token]) for token, _ in each.top], abs=1e-4
            )


@pytest.mark.parametrize("steps", ["eager", "fixed"])
@SETTINGS
def test_asking_for_alternatives_changes_no_token(golden: Golden, steps, settings) -> None:
    images = [golden.image(case["image"]) for case in golden.cases[:4]]
    asked = [row(number, "What is it?", **settings) for number in range(4)]
    plain = told(Engine(golden.runner(steps=steps), stall_s=0.25), *zip(images, asked, strict=True))
    curious = [replace(each, top_logprobs=20 * (number % 2)) for number, each in enumerate(asked)]
    watched = told(Engine(golden.runner(steps=steps), stall_s=0.25), *zip(images, curious, strict=True))
    for each in asked:
        assert watched[each.id][0] == plain[each.id][0]
        # Not to the last bit: on a slow machine the budget of a step may batch other rows together.
        assert [one.logprob for one in watched[each.id][1]] == pytest.approx(
            [one.logprob for one in plain[each.id][1]], abs=1e-4
        )


@SETTINGS
def test_a_replay_tells_the_rest_of_the_log_probabilities(golden: Golden, settings) -> None:
    """After a worker's death the tokens that were told are read, not told again; what follows has the same numbers."""
    for case in golden.cases[:4]:
        image, asked = golden.image(case["image"]), replace(row("r", case["question"], **settings), top_logprobs=2)
        tokens, logprobs, shown = told(Engine(golden.runner(), stall_s=0.25), (image, asked))["r"]
        for cut in {1, len(tokens) // 2, len(tokens) - 1} & set(range(1, len(tokens))):
            again = replace(asked, given=tuple(tokens[:cut]))
            rest, more, shown_again = told(Engine(golden.runner(), stall_s=0.25), (image, again))["r"]
            assert tokens[:cut] + rest == tokens
            assert shown_again == shown
            assert [each.logprob for each in more] == pytest.approx([each.logprob for each in logprobs[cut:]], abs=1e-4)
            assert [each.top[0][1] for each in more] == pytest.approx(
                [each.top[0][1] for each in logprobs[cut:]], abs=1e-4
            )


def test_tokens_of_a_stop_string_are_not_shown(golden: Golden) -> None:
    runner = golden.runner()
    case = next(case for case in golden.cases if len(case["answer"]) > 4)
    image, asked = golden.image(case["image"]), row("r", case["question"])
    tokens, _, shown = told(Engine(runner, stall_s=0.25), (image, asked))["r"]
    assert shown == len(tokens) - (tokens[-1] == runner.eos_id)
    text = runner.tokenizer.decode(tokens[:shown])
    stopped = row("r", case["question"], stop=(text[3:],))
    more, _, shown = told(Engine(runner, stall_s=0.25), (image, stopped))["r"]
    assert runner.tokenizer.decode(more[:shown]).startswith(text[:3])
    assert len(runner.tokenizer.decode(more[: shown - 1])) < 3
    assert shown < len(more)

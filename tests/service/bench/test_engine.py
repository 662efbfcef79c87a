"""The engine without HTTP: everything is answered, never more at once than said, on a given clock."""

from __future__ import annotations

from itertools import count

import pytest

from service.bench import engine as engine_bench
from service.bench.engine import engine_throughput
from service.configuration.settings import Settings
from service.messages.from_worker import StepDone
from service.messages.to_worker import Submit
from service.worker.engine import Engine

MICRO = Settings(model="random:pheye-micro", devices="cpu", threads=1, slots=3, context_tokens=512, dtype="float32")


def test_every_request_is_answered_and_counted() -> None:
    ticks = count()
    found = engine_throughput(MICRO, requests=7, in_flight=4, max_tokens=5, clock=lambda: 2.0 * next(ticks))
    assert (found.requests, found.tokens, found.seconds) == (7, 7 * 5, 2.0)
    assert (found.answers_per_s, found.tokens_per_s) == (3.5, 17.5)
    assert (found.device, found.dtype, found.slots) == ("cpu", "float32", 3)
    assert min(found.encode_s, found.prefill_s, found.decode_s) > 0


def test_never_more_are_in_flight_and_each_has_an_image_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[str] = []
    finished: list[str] = []
    depths: list[int] = []

    class Counting(Engine):
        def submit(self, message: Submit) -> None:
            submitted.append(message.image.image_key)
            super().submit(message)

        def step(self) -> StepDone:
            depths.append(len(submitted) - len(finished))
            done = super().step()
            finished.extend(event.id for event in done.events if type(event).__name__ == "Finished")
            return done

    monkeypatch.setattr(engine_bench, "Engine", Counting)
    engine_throughput(MICRO, requests=6, in_flight=2, max_tokens=3)
    assert len(set(submitted)) == len(submitted) == 7  # and one before the clock
    assert max(depths) == 2
    assert len(finished) == 7


def test_known_images_are_encoded_before_the_clock_starts() -> None:
    found = engine_throughput(MICRO, requests=6, in_flight=3, max_tokens=3, images=2)
    assert (found.requests, found.tokens, found.encode_s) == (6, 6 * 3, 0.0)


def test_a_prompt_without_room_is_said() -> None:
    with pytest.raises(ValueError, match="engine: "):
        engine_throughput(MICRO, requests=1, in_flight=1, max_tokens=512)

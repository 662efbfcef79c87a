"""What the worker process makes of messages that come while it computes."""

from __future__ import annotations

import time
from multiprocessing import Pipe

from model.checkpoint.checkpoint import Checkpoint
from service.messages.from_worker import Finished
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from service.worker.main import _Inbox
from tests.service.worker.test_engine import row, run
from tests.support.golden import fp32_runner, noise_image

STEP_S = 0.2


def test_a_row_that_comes_during_a_long_step_has_waited_for_the_rest_of_it(tiny: Checkpoint) -> None:
    """A step of a large model takes seconds, which its client waits for as for a slot."""
    api, worker = Pipe()
    inbox, engine = _Inbox(worker), Engine(fp32_runner(tiny), stall_s=1.0)
    api.send(Submit(noise_image(tiny), (row("late", "What?", max_tokens=1),)))
    while inbox._messages.empty():
        time.sleep(0.01)
    time.sleep(STEP_S)
    assert inbox.deliver(engine, wait_s=0.0)
    end = run(engine).ended["late"]
    assert isinstance(end, Finished)
    assert end.timings.queue_s >= STEP_S
    api.close()

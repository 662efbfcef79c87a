"""The edge's side of replicas, with replicas made up: no Ray is needed. And what else of deploy/ray is logic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deploy.ray import bulk, engine, remote
from deploy.ray.all_metrics import AllMetrics
from deploy.ray.engine import Engine
from deploy.ray.remote import RemoteEngine, ReplicaState
from deploy.ray.scaling import replicas_for
from model.config import named_geometry
from service.batch.answerers.local import LocalRun
from service.batch.task import AnswerOptions
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import InvalidField, Poisoned
from service.images import DIGEST_HEADER as HEADER
from service.messages.from_worker import (
    Admitted,
    Delta,
    Finished,
    FromWorker,
    ModelCard,
    Preparing,
    Ready,
    RowTimings,
    Started,
    StepDone,
    StepReport,
    Usage,
)
from service.messages.to_worker import Forget, Prefetch, Submit
from service.metrics.service_metrics import Metrics
from tests.support.queueing import CASES, IMAGES, answer, spec, until, value

FOLDER = Path(bulk.__file__).parent
CARD = ModelCard("eye", "cpu", "float32", "", 1, replace(named_geometry("pheye-micro")), 1024, 4, "weights", 2**20)
WORDS = ("A", " bus", " stop")
Script = Callable[[Submit], AsyncIterator[FromWorker]]


@dataclass
class Replicas:
    """What stands for a handle of Ray Serve: it notes what is called, and answers by a script."""

    script: Script
    alive: int = 2
    lost: int = 0  # rows that Ray refuses to send at all
    submits: list[Submit] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    told: list[object] = field(default_factory=list)
    cancelled: int = 0

    def options(self, *, stream: bool = False, session_id: str | None = None) -> Replicas:
        if session_id is not None:
            self.sessions.append(session_id)
        return self

    @property
    def answer(self) -> Any:
        return SimpleNamespace(remote=self._stream)

    @property
    def tell(self) -> Any:
        return SimpleNamespace(remote=self._take)

    @property
    def tokenizer(self) -> Any:
        return SimpleNamespace(remote=self._tokenizer)

    def broadcast(self, method: str, *arguments: object) -> Any:
        async def results_async(**_: object) -> list[object]:
            self.told += arguments
            return [ReplicaState(CARD, StepReport(slots_used=1)), RuntimeError("died")][:1] * self.alive

        return SimpleNamespace(results_async=results_async)

    async def _take(self, message: object) -> None:
        self.told.append(message)

    async def _tokenizer(self) -> object:
        return Mock()

    def _stream(self, submit: Submit) -> Any:
        self.submits.append(submit)
        if len(self.submits) <= self.lost:
            raise ConnectionError("the deployment is being replaced")
        return Stream(self, self.script(submit))


class Stream:
    def __init__(self, replicas: Replicas, messages: AsyncIterator[FromWorker]) -> None:
        self._replicas, self._messages = replicas, messages

    def __aiter__(self) -> AsyncIterator[FromWorker]:
        return self._messages

    def cancel(self) -> None:
        self._replicas.cancelled += 1


def told(row: str, *events: object) -> StepDone:
    return StepDone((*events,), StepReport(decode_rows=1))  # type: ignore[arg-type]


async def well(submit: Submit) -> AsyncIterator[FromWorker]:
    """Say what is left of the words."""
    (row,) = submit.rows
    yield Started((row.id,))
    yield told(row.id, Admitted(row.id, 0.0))
    for token in range(len(row.given), len(WORDS)):
        yield told(row.id, Delta(row.id, (token,), WORDS[token]))
    yield told(row.id, Finished(row.id, "", "stop", Usage(1, 3, 1, 1, False), RowTimings(0, 0, 0, 0)))


async def deadly(submit: Submit, words: int, starts: bool = True) -> AsyncIterator[FromWorker]:
    """Die after some of the words."""
    said = 0
    async for message in well(submit):
        if not starts or said == words + 2:
            raise ConnectionError("The actor died unexpectedly")
        said += 1
        yield message


def dying(times: int, words: int, **how: bool) -> Script:
    """Replicas of which the first few die."""
    left = [times]

    def script(submit: Submit) -> AsyncIterator[FromWorker]:
        left[0] -= 1
        return deadly(submit, words, **how) if left[0] >= 0 else well(submit)

    return script


def scenario(replicas: Replicas, ask: Callable[[RequestQueue], Any], affinity: bool = True) -> Any:
    async def run() -> Any:
        supervise = partial(RemoteEngine, replicas, affinity)
        queue = RequestQueue(Settings(devices="cpu"), Metrics(), supervise)
        await queue.start()
        try:
            await until(lambda: queue.not_ready() is None)
            return await ask(queue)
        finally:
            await queue.stop()

    return asyncio.run(run())


async def one(queue: RequestQueue) -> tuple[str, float]:
    return await answer(queue, CASES[0], spec(CASES[0])), value(queue, "request_replays")


def test_an_image_goes_to_its_replica_and_the_slots_of_all_count() -> None:
    async def ask(queue: RequestQueue) -> tuple[str, int]:
        return (await one(queue))[0], queue.workers.slots

    replicas = Replicas(well)
    assert scenario(replicas, ask) == ("A bus stop", 8)
    key = IMAGES[CASES[0]["image"], CARD.tile_px].image_key
    assert replicas.sessions == [key]
    spread = Replicas(well)
    assert scenario(spread, one, affinity=False) == ("A bus stop", 0)
    assert spread.sessions == []


def test_an_answer_goes_on_where_its_replica_died(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = Replicas(dying(1, words=2))
    assert scenario(replicas, one) == ("A bus stop", 1)
    assert [submit.rows[0].given for submit in replicas.submits] == [(), (0, 1)]
    monkeypatch.setattr(remote, "RETRY_S", 0.0)
    refused = Replicas(dying(9, words=0, starts=False))  # no replica that can take it: no sign of a poison request
    assert scenario(refused, one)[0] == "A bus stop"


def test_rows_that_ray_does_not_even_send_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def soon(queue: RequestQueue) -> tuple[str, float]:
        async with asyncio.timeout(10):
            return await one(queue)

    monkeypatch.setattr(remote, "RETRY_S", 0.0)
    assert scenario(Replicas(well, lost=2), soon)[0] == "A bus stop"


def test_a_replica_whose_process_has_ended_takes_no_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(_settings: object, _device: str, take: Callable[[FromWorker], None], exited: Any) -> Mock:
        asyncio.get_running_loop().call_soon(take, Ready(CARD, Mock(), 0.0))
        asyncio.get_running_loop().call_later(0.01, exited, -9)
        return Mock()

    async def ask() -> None:
        replica = Engine.__new__(Engine)
        await replica.__init__()  # type: ignore[misc]  # as Ray awaits it
        submit = Submit(IMAGES[CASES[0]["image"], CARD.tile_px], (spec(CASES[0]),))
        for _ in ("before it has ended", "afterwards"):
            with pytest.raises(RuntimeError, match="process ended"):
                async with asyncio.timeout(5):
                    await anext(replica.answer(submit))

    monkeypatch.setattr(engine, "WorkerProcess", started)
    asyncio.run(ask())


def test_a_replica_whose_process_dies_of_taking_a_row_up_says_whose_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = spec(CASES[0]), spec(CASES[0])

    def started(_settings: object, _device: str, take: Callable[[FromWorker], None], exited: Any) -> Mock:
        loop = asyncio.get_running_loop()
        loop.call_soon(take, Ready(CARD, Mock(), 0.0))
        loop.call_later(0.01, take, Preparing((rows[0].id,)))
        loop.call_later(0.02, exited, -9)
        return Mock()

    async def ask() -> None:
        replica = Engine.__new__(Engine)
        await replica.__init__()  # type: ignore[misc]  # as Ray awaits it
        messages = replica.answer(Submit(IMAGES[CASES[0]["image"], CARD.tile_px], rows))
        async with asyncio.timeout(5):
            assert await anext(messages) == Started((rows[0].id,))
            with pytest.raises(RuntimeError, match="process ended"):
                await anext(messages)

    monkeypatch.setattr(engine, "WorkerProcess", started)
    asyncio.run(ask())


def test_a_request_of_which_three_replicas_die_is_refused() -> None:
    with pytest.raises(Poisoned):
        scenario(Replicas(dying(9, words=0)), one)


def test_a_client_that_leaves_cancels_its_stream_and_nobody_ready_is_said() -> None:
    async def endless(submit: Submit) -> AsyncIterator[FromWorker]:
        yield Started((submit.rows[0].id,))
        await asyncio.sleep(60)

    async def leave(queue: RequestQueue) -> str | None:
        image = IMAGES[CASES[0]["image"], CARD.tile_px]
        with queue.reserve(1) as reservation:
            reservation.submit(image, [spec(CASES[0])])
            await asyncio.sleep(0.01)
        queue.workers.prefetch(image)
        queue.workers.forget(image.image_key)
        replicas.alive = 0
        await until(lambda: queue.not_ready() is not None)
        return queue.not_ready()

    replicas = Replicas(endless)
    assert scenario(replicas, leave) == "no worker is alive; one is being started"
    assert replicas.cancelled == 1
    assert {type(each) for each in replicas.told} == {Prefetch, Forget}


@pytest.mark.parametrize(
    ("asked", "queued", "wanted"),
    [({}, 0, 2), ({"a": 0.0, "b": 0.0}, 0, 1), ({"a": 0.8, "b": 0.8}, 0, 2), ({"a": 2.0, "b": 0.1}, 0, 3),
     ({"a": 1.0}, 8, 3), ({"a": 99.0}, 0, 4)],
    ids=["nothing is known", "idle", "full", "rows wait", "requests wait in Ray", "at most"],
)  # fmt: skip
def test_replicas_are_as_many_as_the_rows_fill(asked: dict[str, float], queued: float, wanted: int) -> None:
    context = SimpleNamespace(
        aggregated_metrics={"slots_asked": asked} if asked else {}, current_num_replicas=2,
        total_queued_requests=queued, config=SimpleNamespace(target_ongoing_requests=8),
        capacity_adjusted_min_replicas=1, capacity_adjusted_max_replicas=4,
    )  # fmt: skip
    assert replicas_for(context) == (wanted, {})


@pytest.mark.parametrize("key", ["right", "wrong"])
def test_metrics_of_all_replicas_are_told_to_whom_one_tells_its_own(key: str) -> None:
    async def page(_: object) -> PlainTextResponse:
        return PlainTextResponse("own", 200 if key == "right" else 401)

    def counted(times: int) -> list[Any]:
        registry = CollectorRegistry()
        Counter("pheye_requests", "Requests.", registry=registry).inc(times)
        return list(registry.collect())

    async def gather() -> dict[str, list[Any]]:
        return {"a": counted(1), "b": counted(2)}

    async def get() -> httpx.Response:
        app = AllMetrics(Starlette(routes=[Route("/metrics", page), Route("/other", page)]), gather)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://edge") as client:
            assert (await client.get("/other")).text == "own"
            return await client.get("/metrics")

    response = asyncio.run(get())
    if key == "wrong":
        assert (response.status_code, response.text) == (401, "own")
    else:
        assert 'pheye_requests_total{edge="a"} 1.0' in response.text
        assert 'pheye_requests_total{edge="b"} 2.0' in response.text
        assert response.text.count("# TYPE pheye_requests_total counter") == 1


def test_a_batch_becomes_a_row_for_each_image_and_an_error_for_what_is_none() -> None:
    question = bulk.question_of(SimpleNamespace(question=None, length="short"))  # type: ignore[arg-type]
    settings = Settings()
    broken = bulk.Tiler(settings, 28, 2)({"path": "/a/broken.png", "bytes": b"no image"})
    assert broken["path"] == "/a/broken.png"
    images = [InvalidField("image: broken"), InvalidField("image: odd")]
    run = LocalRun(
        Mock(busy=False), bulk.reader_of(images), AnswerOptions(bulk.sampling_of(settings)), in_flight=2, threads=1
    )
    paths = ["/a/broken.png", "/a//./broken.png"]  # in a bucket two keys
    table = bulk.table_of(run, paths, question, bulk.terms_of("eye", bulk.sampling_of(settings)))
    rows = [(row["path"], row["image"], row["error"], row["caption"]) for row in table.to_pylist()]
    assert rows == [(paths[0], paths[0], "image: broken", None), (paths[1], paths[1], "image: odd", None)]
    folders = {
        bulk.checkpoint_of("/out", settings.model_copy(update=change), question) for change in ({}, {"model": "b"})
    }
    assert len(folders) == 2
    assert all(folder.startswith("/out.checkpoint/") for folder in folders)
    assert [bulk.place("photos/"), bulk.place("s3://bucket/a/")] == [str(Path("photos").absolute()), "s3://bucket/a"]


def test_the_manifest_for_kubernetes_deploys_what_the_file_deploys() -> None:
    manifest = yaml.safe_load((FOLDER / "rayservice.yaml").read_text(encoding="utf-8"))
    told = yaml.safe_load((FOLDER / "serve.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(manifest["spec"]["serveConfigV2"]) == told
    (application,) = told["applications"]
    settings = {
        name.removeprefix("PHEYE_").lower(): value for name, value in application["runtime_env"]["env_vars"].items()
    }
    assert Settings(**settings)
    cluster = manifest["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_SERVE_SESSION_ID_HEADER_KEY", "value": HEADER.lower()} in container["env"]
    pinned = re.search(
        r"^ray==(\S+)$", (FOLDER.parents[1] / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert pinned is not None
    assert cluster["rayVersion"] == pinned[1]

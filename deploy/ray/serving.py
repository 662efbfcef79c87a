"""Pheye on Ray Serve: the HTTP service on CPUs in front, and a replica of the engine on each device behind it.

    serve run deploy.ray.serving:application
    serve deploy deploy/ray/serve.yaml

`Edge` is the service of `pheye serve` without its worker: HTTP, keys, admission control, decoding, hashing. It sends
rows to `Engine` by consistent hashing of the image's key, so an image is encoded by one replica. `PHEYE_*` variables in
the application's `runtime_env` are the settings of both.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any, cast

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, BackpressureConfig, RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from deploy.ray.all_metrics import AllMetrics, Families
from deploy.ray.engine import Engine as EngineReplica
from deploy.ray.remote import RemoteEngine
from service.api.app import create_app
from service.api.edge.forwarded import ForwardedHeaders, TrustedProxies
from service.api.parts import ServiceParts
from service.api.server import configure_api_logging
from service.api.traces.environment import tracing_from
from service.configuration.settings import load_settings
from service.dispatch.queue import RequestQueue
from service.metrics.service_metrics import Metrics

AFFINITY = RequestRouterConfig(
    request_router_class="ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
)
ROWS = 256  # requests that a replica takes: its engine has a queue of its own, which is fair between clients
DRAIN_S = 60.0  # above PHEYE_DRAIN_GRACE_S


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=1000,  # admission control is the service's, and says 429 in its own words long before
    max_queued_requests=1000,
    backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
    request_router_config=AFFINITY,  # by RAY_SERVE_SESSION_ID_HEADER_KEY: uploaded images are found again
    graceful_shutdown_timeout_s=DRAIN_S,
)
@serve.ingress()
class Edge:
    """The HTTP service; its worker is `Engine`, wherever Ray has put the replicas."""

    def __init__(self, engine: DeploymentHandle, affinity: bool) -> None:
        self._settings = load_settings()
        configure_api_logging(self._settings.log_level, self._settings.log_format)
        self._metrics = Metrics()
        supervise = partial(RemoteEngine, engine, affinity)
        self._queue = RequestQueue(self._settings.model_copy(update={"devices": "ray"}), self._metrics, supervise)
        tracing = tracing_from(os.environ, self._metrics)
        self._app = create_app(self._settings, self._queue, self._metrics, tracing)

    def __serve_build_asgi_app__(self) -> Any:
        """Return the application that Ray serves."""
        whole = AllMetrics(self._app, self._gather)
        return ForwardedHeaders(whole, TrustedProxies(self._settings.trusted_proxies))

    async def families(self) -> tuple[str, Families]:
        """Return this replica's name and metrics."""
        parts: ServiceParts = self._app.state.parts
        self._metrics.describe_build(self._app.version, self._queue.card)
        self._metrics.ready.set(parts.not_ready() is None)
        return serve.get_replica_context().replica_id.unique_id, self._metrics.collect()

    async def _gather(self) -> dict[str, Families]:
        everybody = serve.get_deployment_handle("Edge", serve.get_replica_context().app_name)
        answers = await everybody.broadcast("families").results_async(timeout_s=5, return_exceptions=True)
        return dict(answer for answer in answers if not isinstance(answer, BaseException))


@serve.deployment(
    max_ongoing_requests=ROWS,
    request_router_config=AFFINITY,
    autoscaling_config=AutoscalingConfig(
        min_replicas=1,
        max_replicas=4,
        target_ongoing_requests=8,
        policy=AutoscalingPolicy(policy_function="deploy.ray.scaling:replicas_for"),
    ),
    health_check_period_s=5,
    graceful_shutdown_timeout_s=DRAIN_S,
)
class Engine(EngineReplica):
    """One device's engine."""


def application(arguments: dict[str, str]) -> Application:
    """Build the application; `affinity: false` spreads requests about an image over all replicas."""
    affinity = str(arguments.get("affinity", True)).lower() != "false"
    edge, engine = cast(Any, Edge), cast(Any, Engine)  # what the decorators have made of them
    if not affinity:
        engine = engine.options(request_router_config=RequestRouterConfig())
    built: Application = edge.bind(engine.bind(), affinity)
    return built

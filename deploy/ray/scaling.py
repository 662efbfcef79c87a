"""How many replicas of the engine there should be: a pure function of what Ray Serve's autoscaler knows."""

from __future__ import annotations

import math
from typing import Any

FULL = 0.8  # the share of its slots that a replica should have in use


def replicas_for(context: Any) -> tuple[int, dict[str, Any]]:
    """Return how many replicas the rows that wait or run would fill, and the policy's state, which is none.

    Requests that Ray still queues, because no replica may take more, count like rows. Ray applies the delays and the
    bounds of its `autoscaling_config` to the number.

    Args:
        context: Ray's `AutoscalingContext`.
    """
    asked = context.aggregated_metrics.get("slots_asked", {}) if context.aggregated_metrics else {}
    running = max(context.current_num_replicas, 1)
    queued = (context.total_queued_requests or 0.0) / max(context.config.target_ongoing_requests, 1.0)
    wanted = math.ceil((sum(asked.values()) + queued) / FULL) if asked else running
    least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return min(max(wanted, least), most), {}

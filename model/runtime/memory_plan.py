"""Memory plan of a GPU: its memory divided among weights, running requests and cached features, before any is taken.

Pure arithmetic: knows no device, which is asked for its size elsewhere (`model/runtime/hardware.py`). Any thread may
ask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from model import complexity
from model.config import PheyeConfig

GIB = 1 << 30
MOST_SLOTS = 64  # that are taken unasked: what a decode step costs grows little up to there
CPU_SLOTS = 8
CPU_FEATURE_CACHE_BYTES = GIB
PROMPT_TOKENS = 128  # of each row in a prefill that must not run out of memory
RESERVE_BYTES = GIB  # CUDA's context, what libraries keep for themselves, compiled kernels, gaps between allocations


class MemoryPlanError(ValueError):
    """Model that does not fit as it was asked for; the message names the setting to change, and the memory needed."""


@dataclass(frozen=True, slots=True)
class MemoryDemand:
    """Slots, context and caches that must find room.

    Attributes:
        context_tokens: prompt and answer of a row together.
        slots: rows that can run at once; 0 for as many as fit, up to `MOST_SLOTS`.
        feature_cache_bytes: bound of the feature cache; None for what slots leave, which is an image for each at least.
        tiles_at_once: tiles of the largest vision batch.
        images_ahead: images that are encoded before anybody asks about them, beside two for each slot.
        absorbed: whether image slots keep features, and not the keys and values projected from them.
    """

    context_tokens: int
    slots: int = 0
    feature_cache_bytes: int | None = None
    tiles_at_once: int = 80
    images_ahead: int = 32
    absorbed: bool = False


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """Share of the memory for one purpose; as text, a line of a table."""

    name: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.size_bytes / GIB:9.2f} GiB  {self.name}"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Number of slots, bound of the feature cache, and the memory of each part; no `parts` on a CPU."""

    slots: int
    feature_cache_bytes: int
    parts: tuple[MemoryPart, ...] = ()


def plan_memory(config: PheyeConfig, dtype: str, demand: MemoryDemand, budget_bytes: int | None) -> MemoryPlan:
    """Plan as many slots as fit, with room for a cached image each; then all that is left for the feature cache.

    A CPU gets fixed sizes: it shares its memory with everything else on the machine, and whether more slots than a few
    make it faster depends on the traffic.

    Args:
        config: the model.
        dtype: it computes in.
        demand: what must find room; a context beyond the model's own positions is never held.
        budget_bytes: all the memory there is for it on a card; None on a CPU.

    Raises:
        MemoryPlanError: not one slot fits, or not as many as were asked for.
    """
    if budget_bytes is None:
        asked = demand.feature_cache_bytes
        return MemoryPlan(demand.slots or CPU_SLOTS, CPU_FEATURE_CACHE_BYTES if asked is None else asked)
    held = replace(demand, context_tokens=min(demand.context_tokens, config.decoder.max_positions))
    return _plan_card(config, dtype, held, budget_bytes)


def _plan_card(config: PheyeConfig, dtype: str, demand: MemoryDemand, budget_bytes: int) -> MemoryPlan:
    image_bytes = complexity.feature_bytes(config, dtype)
    weights = MemoryPart("weights", complexity.parameters(config).served * complexity.DTYPE_BYTES[dtype])
    counts = {*range(1, MOST_SLOTS + 1), demand.slots}
    fixed = {slots: (weights, *_parts(config, dtype, demand, slots)) for slots in counts}

    def left_bytes(slots: int) -> int:
        """Return the bytes left for the feature cache, beyond what it must have."""
        least = slots * image_bytes if demand.feature_cache_bytes is None else demand.feature_cache_bytes
        return budget_bytes - sum(part.size_bytes for part in fixed[slots]) - least

    most = next((slots for slots in range(MOST_SLOTS, 0, -1) if left_bytes(slots) >= 0), 0)
    slots = demand.slots or most
    if not slots or left_bytes(slots) < 0:
        raise _too_large(demand, fixed[demand.slots if most else 1], most, budget_bytes)
    rest = budget_bytes - sum(part.size_bytes for part in fixed[slots])
    features = rest // image_bytes * image_bytes if demand.feature_cache_bytes is None else demand.feature_cache_bytes
    cached = MemoryPart(f"feature cache ({features // image_bytes} images)", features)
    return MemoryPlan(slots, features, (*fixed[slots], cached, MemoryPart("left over", rest - features)))


def _parts(config: PheyeConfig, dtype: str, demand: MemoryDemand, slots: int) -> tuple[MemoryPart, ...]:
    """Return every part but weights and feature cache."""
    own = complexity.self_attention_bytes(config, demand.context_tokens, dtype)
    beginning = complexity.self_attention_bytes(config, complexity.PREFIX_TOKENS, dtype)
    features = complexity.feature_bytes(config, dtype)
    image = features if demand.absorbed else complexity.cross_attention_bytes(config, dtype)
    opened = 2 * slots + demand.images_ahead  # the engine opens twice as many, for rows that were preempted
    return (
        MemoryPart(f"KV cache ({slots} slots of {demand.context_tokens} tokens)", slots * own),
        MemoryPart(f"images of running requests ({slots} slots)", slots * (image + beginning)),
        MemoryPart(f"features of waiting requests (at most {opened} images)", opened * features),
        MemoryPart("workspace", workspace_bytes(config, dtype, slots, demand.tiles_at_once)),
    )


def workspace_bytes(config: PheyeConfig, dtype: str, slots: int, tiles_at_once: int) -> int:
    """Return the bytes that the largest step works in: all that is alive together in the widest layer.

    Args:
        config: the model.
        dtype: it computes in.
        slots: rows that are prefilled together, with `PROMPT_TOKENS` each.
        tiles_at_once: tiles of the largest vision batch.
    """
    # An activation function makes copies: three tensors of the inner width are alive beside two of the outer.
    vision, decoder, size = config.vision, config.decoder, complexity.DTYPE_BYTES[dtype]
    pixels = tiles_at_once * 3 * vision.tile_px**2 * (1 + 3 * 4)  # bytes, and float32 as they are normalised
    encode = tiles_at_once * vision.tokens_per_tile * (3 * vision.mlp_width + 2 * vision.width) * size
    prefill = slots * PROMPT_TOKENS * (3 * decoder.mlp_width + 2 * decoder.width) * size
    # Logits; scores, noise and weights in float64; log-probabilities in float32, and those that stay where they are.
    choice = slots * decoder.vocab_size * (size + 4 * 8 + 2 * 4)
    return RESERVE_BYTES + max(pixels + encode, prefill + choice)


def _too_large(demand: MemoryDemand, parts: tuple[MemoryPart, ...], most: int, budget_bytes: int) -> MemoryPlanError:
    cache = MemoryPart("feature cache", demand.feature_cache_bytes or 0)
    table = ", ".join(f"{part.name} {part.size_bytes / GIB:.2f} GiB" for part in (*parts, cache) if part.size_bytes)
    there = f"{budget_bytes / GIB:.2f} GiB of the card's memory may be used"
    if most:
        return MemoryPlanError(f"slots: {demand.slots} do not fit, {most} would; {there}, and they need {table}")
    return MemoryPlanError(
        f"gpu_memory_share: {there}, and one slot needs {table}; "
        "allow more, lower context_tokens or feature_cache_bytes, or serve a smaller model"
    )

"""Attention of a prompt's tokens to an image in float32: all rows that look at it together, four at a time.

Keys are turned into panels tile by tile, and a tile of either stays in a core's nearest cache while all rows pass by;
meanwhile the next one is asked for. A row's sums have one order whatever other rows there are, but another than in
`attention`. Called by compiled code alone; addresses are numbers.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from numba import carray

from model.network.compiled.attention import HEAD_STRIDE, KEYS, SLOT_STRIDE, TOKEN_STRIDE, VALUES, WIDTH
from model.network.compiled.compilation.jit import compiled
from model.network.compiled.loops.numbers import floats_at
from model.network.compiled.loops.panels import add_products, ask_for, multiply_panels, turn_to_panels
from model.network.compiled.loops.rows import softmax
from model.network.compiled.loops.sizes import PANEL, ROWS

_TILE = 64  # tokens, a multiple of a panel's


def room_floats(rows: int, tokens: int, width: int) -> int:
    """Return how many floats `attend_together` works in, for so many rows or fewer."""
    fours, panels = -(-rows // ROWS), -(-tokens // PANEL)
    return ROWS + _TILE * width + fours * ROWS * (2 * width + panels * PANEL)


@compiled
def _gather(members, queries, stride, rows, width, own, sums):
    """Copy the members' queries side by side, the last one's for rows that are missing, and begin sums of values."""
    for row in range(rows):
        x = carray(floats_at(queries + members[min(row, len(members) - 1)] * stride), (width,))
        y, z = carray(floats_at(own + row * width * 4), (width,)), carray(floats_at(sums + row * width * 4), (width,))
        for i in range(width):
            y[i] = x[i]
            z[i] = 0


@compiled
def _score(own, rows, width, keys, token_bytes, tokens, following, scale, room, scores, score_bytes):
    """Write the products of all queries with all keys; `following` is what will be read after the keys."""
    scales, panels, tile_bytes = carray(floats_at(room), (ROWS,)), room + 4 * ROWS, _TILE * token_bytes
    for row in range(ROWS):
        scales[row] = scale
    for first in range(0, tokens, _TILE):
        count, at = min(tokens - first, _TILE), keys + first * token_bytes
        after = at + tile_bytes if first + _TILE < tokens else following
        turn_to_panels(at, token_bytes, count, width, panels)
        for row in range(0, rows, ROWS):
            ask_for(after, tile_bytes, row // ROWS, rows // ROWS)
            multiply_panels(
                own + row * width * 4, width * 4, panels, width, (count + PANEL - 1) // PANEL, room,
                scores + row * score_bytes + first * 4, score_bytes,
            )  # fmt: skip


@compiled
def _add_values(weights, weight_bytes, rows, width, values, token_bytes, tokens, sums):
    """Add all values times their weights to each row's sums."""
    tile_bytes = _TILE * token_bytes
    for first in range(0, tokens, _TILE):
        count, at = min(tokens - first, _TILE), values + first * token_bytes
        for row in range(0, rows, ROWS):
            ask_for(at + tile_bytes, tile_bytes, row // ROWS, rows // ROWS)
            add_products(
                weights + row * weight_bytes + first * 4, weight_bytes, at, token_bytes, count, width // PANEL,
                sums + row * width * 4, width * 4,
            )  # fmt: skip


@compiled
def attend_together(memory, slot, head, tokens, scale, members, queries, stride, scratch):
    """Attend from one head of some rows to one slot, and write what they see over their queries.

    Args:
        memory: a row of the table of memories, which are float32; heads are a multiple of 16 wide.
        slot: the slot.
        head: the head.
        tokens: how many of the slot's are seen, at least one.
        scale: of the scores.
        members: numbers of the rows, int64, at least one.
        queries: where row 0 has its query of head 0, float32 [H, d].
        stride: bytes from one row's queries to the next one's.
        scratch: room for this thread; see `room_floats`.
    """
    width, token_bytes = memory[WIDTH], memory[TOKEN_STRIDE]
    offset = slot * memory[SLOT_STRIDE] + head * memory[HEAD_STRIDE]
    keys, values, place = memory[KEYS] + offset, memory[VALUES] + offset, queries + head * width * 4
    rows, score_bytes = (len(members) + ROWS - 1) // ROWS * ROWS, (tokens + PANEL - 1) // PANEL * PANEL * 4
    own = scratch + 4 * ROWS + _TILE * width * 4
    sums = own + rows * width * 4
    scores = sums + rows * width * 4
    _gather(members, place, stride, rows, width, own, sums)
    _score(own, rows, width, keys, token_bytes, tokens, values, scale, scratch, scores, score_bytes)
    for row in range(rows):
        # The query is of no more use: what its weights' sum must be divided by goes there.
        carray(floats_at(own + row * width * 4), (1,))[0] = softmax(scores + row * score_bytes, tokens)
    _add_values(scores, score_bytes, rows, width, values, token_bytes, tokens, sums)
    for row in range(len(members)):
        divisor = carray(floats_at(own + row * width * 4), (1,))[0]
        x = carray(floats_at(sums + row * width * 4), (width,))
        y = carray(floats_at(place + members[row] * stride), (width,))
        for i in range(width):
            y[i] = x[i] / divisor

"""Slots shared between clients: nobody can hold them all, and nobody who left holds any."""

from __future__ import annotations

import asyncio

from service.fetching.fair_slots import FairSlots


def held_by(slots: FairSlots, *clients: str) -> tuple[int, ...]:
    return tuple(slots._held[client] for client in clients)


async def ask(slots: FairSlots, client: str, times: int) -> list[asyncio.Task[None]]:
    asking = [asyncio.create_task(slots.take(client)) for _ in range(times)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return asking


async def end(*asking: asyncio.Task[None]) -> None:
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


def test_a_client_may_hold_as_many_as_are_free():
    async def scenario() -> None:
        slots = FairSlots(12)
        greedy = await ask(slots, "greedy", 20)
        assert held_by(slots, "greedy") == (6,)
        other = await ask(slots, "other", 20)
        assert held_by(slots, "greedy", "other") == (6, 3)
        for _ in range(2):
            slots.give_back("greedy")
        await asyncio.sleep(0)
        assert held_by(slots, "greedy", "other") == (4, 4)
        modest = await ask(slots, "modest", 1)
        assert modest[0].done()
        await end(*greedy, *other)

    asyncio.run(scenario())


def test_the_only_slot_goes_round_between_clients():
    async def scenario() -> None:
        slots, order = FairSlots(1), []

        async def work(client: str) -> None:
            async with slots.slot(client):
                order.append(client)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(client) for client in ("greedy", "greedy", "greedy", "modest")))
        assert order == ["greedy", "greedy", "modest", "greedy"]
        assert slots.held == 0

    asyncio.run(scenario())


def test_who_leaves_while_waiting_or_at_its_turn_holds_nothing():
    async def scenario() -> None:
        slots = FairSlots(1)
        await slots.take("a")
        waiting, next_one = await ask(slots, "b", 1), await ask(slots, "c", 1)
        waiting[0].cancel()
        slots.give_back("a")
        next_one[0].cancel()  # in the moment in which the slot was given to it
        await asyncio.gather(*waiting, *next_one, return_exceptions=True)
        assert slots.held == 0
        await asyncio.wait_for(slots.take("d"), 10)

    asyncio.run(scenario())

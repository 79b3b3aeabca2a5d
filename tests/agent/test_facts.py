"""Facts: who is woken by what, and that being woken never swallows the order to end."""

from __future__ import annotations

import asyncio
import contextlib

from havip.agent.facts import Fact, wake_on, woken


def test_only_a_change_wakes() -> None:
    async def story() -> None:
        fact = Fact(1)
        wake = wake_on(fact)
        assert await woken(wake, within=20), "everyone looks once at the start"
        fact.set(1)
        assert not wake.is_set()
        fact.set(2)
        assert await woken(wake, within=20)
        assert not await woken(wake, within=0.01)

    asyncio.run(story())


def test_each_listener_is_woken_for_itself() -> None:
    async def story() -> None:
        one, two = Fact("a"), Fact("b")
        both, second = wake_on(one, two), wake_on(two)
        both.clear()
        second.clear()
        one.set("c")
        assert (both.is_set(), second.is_set()) == (True, False)
        two.set("d")
        assert second.is_set()

    asyncio.run(story())


def test_an_order_to_end_that_comes_together_with_a_change_is_obeyed() -> None:
    async def forever(wake: asyncio.Event) -> None:
        while True:
            await woken(wake, within=3600)

    async def story() -> None:
        for steps in range(4):  # how far the waking has come when the order arrives
            fact = Fact(0)
            task = asyncio.create_task(forever(wake_on(fact)))
            await asyncio.sleep(0.01)
            fact.set(1)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.timeout(5):
                    await task
            assert task.cancelled()

    asyncio.run(story())

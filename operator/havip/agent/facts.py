"""What the tasks of the agent know of each other: one value per subject, and a wake-up when it changes.

A task never calls another one. It sets its fact and waits for those of others, so that any of them may fail,
repeat or be late without holding up the rest.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Fact(Generic[T]):
    """A value that tells its listeners when it became another one."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._listeners: list[asyncio.Event] = []

    @property
    def value(self) -> T:
        return self._value

    def set(self, value: T) -> None:
        if value == self._value:
            return
        self._value = value
        for listener in self._listeners:
            listener.set()

    def wakes(self, listener: asyncio.Event) -> None:
        self._listeners.append(listener)


def wake_on(*facts: Fact[Any]) -> asyncio.Event:
    """An event that is set now and whenever one of `facts` changes."""
    event = asyncio.Event()
    event.set()
    for fact in facts:
        fact.wakes(event)
    return event


async def woken(event: asyncio.Event, *, within: float) -> bool:
    """Waits for `event` or `within` seconds and clears it; whether it was set."""
    try:
        # Not wait_for: on Python 3.11 it forgets a cancellation that comes together with the event.
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True

"""Which of many parts is the one that is refused: by halves, keeping what was accepted. Knows nothing of haproxy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def narrow(parts: Sequence[T], refusal: Callable[[list[T]], Awaitable[str]], *, known: str = "") -> dict[T, str]:
    """The parts that cannot be had together with the others, and why.

    `refusal` says why a set of parts is refused, or nothing. With k bad ones among n it is asked about k log n times.
    `known`: why all of them together are refused, where that is known and need not be asked again.
    """
    good: list[T] = []
    bad: dict[T, str] = {}

    async def add(some: Sequence[T]) -> None:
        if not some:
            return
        why = known if known and len(some) == len(parts) else await refusal([*good, *some])
        if not why:
            good.extend(some)
        elif len(some) == 1:
            bad[some[0]] = why
        else:
            middle = len(some) // 2
            await add(some[:middle])
            await add(some[middle:])

    await add(parts)
    return bad

"""Finding the part that is refused."""

from __future__ import annotations

import asyncio
import math

from hypothesis import given
from hypothesis import strategies as st

from havip.agent.haproxy.narrowing import narrow


@given(st.integers(0, 60), st.sets(st.integers(0, 59), max_size=4))
def test_exactly_the_bad_ones_are_found_with_few_questions(count: int, bad: set[int]) -> None:
    asked = 0

    async def refusal(parts: list[int]) -> str:
        nonlocal asked
        asked += 1
        wrong = sorted(bad & set(parts))
        return f"{wrong[0]} is bad" if wrong else ""

    there = bad & set(range(count))
    found = asyncio.run(narrow(range(count), refusal))
    assert found == {part: f"{part} is bad" for part in there}
    assert asked <= 1 + 2 * len(there) * math.ceil(math.log2(max(count, 2)) + 1)


def test_of_two_that_do_not_go_together_the_first_stays() -> None:
    async def refusal(parts: list[str]) -> str:
        return "a and b want the same port" if {"a", "b"} <= set(parts) else ""

    assert list(asyncio.run(narrow(["a", "b", "c"], refusal))) == ["b"]


def test_what_is_known_already_is_not_asked_again() -> None:
    asked: list[list[str]] = []

    async def refusal(parts: list[str]) -> str:
        asked.append(parts)
        return "b is bad" if "b" in parts else ""

    assert asyncio.run(narrow(["b"], refusal, known="all is bad")) == {"b": "all is bad"}
    assert asked == []

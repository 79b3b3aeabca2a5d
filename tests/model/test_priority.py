"""The priority budget."""

from __future__ import annotations

from itertools import pairwise

import pytest

from havip.model.priority import BASES, bases_for


@pytest.mark.parametrize("count", range(1, len(BASES) + 1))
def test_ranks_fall_by_ten_at_least_and_stay_within_the_budget(count: int) -> None:
    bases = bases_for(count)
    assert len(bases) == count
    assert set(bases) <= set(BASES)
    assert bases[:2] == BASES[:2][:count]
    assert all(better - worse >= 10 for better, worse in pairwise(bases))


def test_two_standbys_of_three_are_twelve_milliseconds_apart_at_the_default_interval() -> None:
    _, second, third = bases_for(3)
    assert (second - third) * 100 / 256 > 11


def test_nobody_gets_a_base_that_is_not_there() -> None:
    assert bases_for(0) == ()
    assert bases_for(9) == BASES

"""How long the steps of a planned switch take where a load balancer asks, and what a deadline costs."""

from __future__ import annotations

import pytest
from tests.keeper.made import a_probe, an_instance

from havip.keeper.overlap import Overlap, learning_seconds, lifetime_seconds

FOREVER = float("inf")


def handed_over(at: float = 100.0) -> Overlap:
    probe = a_probe(interval_ms=5000, threshold=1, overlap_flows_ms=10_000)
    return Overlap("vip", an_instance(probe=probe), probe, handed_over=at)


@pytest.mark.parametrize(("interval_ms", "threshold", "seconds"), [(5000, 1, 10.0), (5000, 2, 15.0), (200, 2, 0.6)])
def test_the_load_balancer_learns_within_one_interval_more_than_its_threshold(
    interval_ms: int, threshold: int, seconds: float
) -> None:
    assert learning_seconds(a_probe(interval_ms=interval_ms, threshold=threshold)) == pytest.approx(seconds)


def test_both_answer_then_one_is_refused_and_serves_on() -> None:
    overlap = handed_over()
    assert overlap.both_until(FOREVER) == pytest.approx(110.0)
    assert overlap.until(FOREVER) == pytest.approx(130.0)


@pytest.mark.parametrize(
    ("grace", "both", "all_over"),
    [(40.0, 10.0, 30.0), (24.0, 10.0, 24.0), (12.0, 10.0, 12.0), (5.0, 5.0, 5.0)],
    ids=["enough", "flows are cut", "the load balancer is not waited for", "not even the new node is known"],
)
def test_a_deadline_costs_the_flows_first(grace: float, both: float, all_over: float) -> None:
    overlap = handed_over(100.0)
    assert overlap.both_until(100.0 + grace) == pytest.approx(100.0 + both)
    assert overlap.until(100.0 + grace) == pytest.approx(100.0 + all_over)


def test_the_copy_lives_longer_than_all_of_it_and_not_much() -> None:
    probe = a_probe(interval_ms=5000, threshold=1, overlap_flows_ms=10_000)
    assert 35 < lifetime_seconds(probe, 5.0) <= 37
    assert lifetime_seconds(a_probe(interval_ms=200, threshold=1, overlap_flows_ms=0), 1.0) == 3

"""Figures are written down as they were measured, and rows that were not measured now stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.bench import results
from e2e.bench.rows import Row, at_most, p99

REACH, HOLDS = at_most(400, "ms")
ROW = Row("poweroff", "power-off", "ms", REACH, HOLDS)


def test_the_99th_percentile_of_few_values_is_the_worst() -> None:
    assert p99([3, 1, 2]) == 3
    assert p99(list(range(1, 201))) == 198


def test_a_missed_figure_is_said_to_be_missed() -> None:
    assert ROW.summary([300, 401])["reached"] is False
    assert ROW.summary([300, 400])["reached"] is True
    assert ROW.summary([300])["reach"] == "p99 <= 400 ms"


def test_a_row_for_comparison_reaches_nothing() -> None:
    assert Row("raw", "raw", "ms", "comparison", None).summary([1])["reached"] is None


def test_rows_that_were_not_measured_again_stay_in_their_place() -> None:
    old = [{"id": "a", "n": 1}, {"id": "b", "n": 1}]
    assert results.merged(old, [{"id": "b", "n": 2}, {"id": "c", "n": 2}]) == [
        {"id": "a", "n": 1},
        {"id": "b", "n": 2},
        {"id": "c", "n": 2},
    ]


@pytest.fixture(autouse=True)
def _of_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "installed_versions", lambda: {"kernel": "some"})


def test_a_missed_row_says_why_until_it_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "WHY_MISSED", {"poweroff": "too slow"})
    missed = results.explained(ROW.summary([401]))
    assert missed["note"] == "too slow"
    assert "note" not in results.explained({**missed, **ROW.summary([300])})


def test_both_pages_hold_every_row(tmp_path: Path) -> None:
    results.save([ROW.summary([1, 2, 500])], command="first", root=tmp_path)
    results.save([{**ROW.summary([7]), "id": "other"}], command="second", root=tmp_path)
    rows = json.loads((tmp_path / "docs/benchmarks.json").read_text(encoding="utf-8"))
    page = (tmp_path / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert [row["id"] for row in rows] == ["poweroff", "other"]
    assert "`poweroff`" in page
    assert "**missed**" in page
    assert "second" in page

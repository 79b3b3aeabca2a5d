"""Tests that run at once do not meet: whoever shares a cluster or an API server shares a worker."""

from __future__ import annotations

from pathlib import Path

from tests.side_by_side import scope_of

ROOT = Path(__file__).resolve().parents[2]


def scopes(folder: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("test_*.py")):
        found.setdefault(scope_of(path.relative_to(ROOT).as_posix()), set()).add(path.name)
    return found


def test_every_scenario_on_the_cluster_is_in_one_of_two_clusters() -> None:
    assert scopes("e2e/scenarios/on_the_cluster").keys() == {"a cluster", "a cluster in clouds"}


def test_what_a_scenario_uninstalls_is_what_no_cloud_needs() -> None:
    found = scopes("e2e/scenarios/on_the_cluster")
    assert "test_uninstalling_last.py" in found["a cluster"]
    assert max(found["a cluster"]) == "test_uninstalling_last.py", "it runs last"
    assert found["a cluster in clouds"] == {"test_azure.py", "test_huawei.py", "test_tencent.py"}


def test_labs_measure_one_after_the_other() -> None:
    lab = scopes("e2e/scenarios")["lab"]
    assert {"test_lab_failover.py", "test_fabrics.py", "test_keeper_failover.py"} <= lab


def test_one_api_server_serves_its_whole_folder() -> None:
    assert scopes("tests/apiserver").keys() == {"API server"}


def test_a_unit_test_goes_wherever_there_is_room() -> None:
    assert scope_of("tests/plan/test_rolling.py") == "tests/plan/test_rolling.py"

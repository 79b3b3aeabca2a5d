"""What `havip status` says, from objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from havip.cli.overview import overview

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def _havip(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"addresses": ["10.88.0.200"]},
        "status": {"className": "edge", "conditions": [_condition("Ready", "True", "Held")], **status},
    }


def _condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _node(
    name: str, state: str, *, reason: str = "Elected", since: str = "2026-01-01T11:57:00.000Z", **more: Any
) -> Any:
    vip = {"havip": "shop/web", "virtualRouterId": 1, "state": state, "since": since, "reason": reason, "heard": []}
    return {
        "metadata": {"name": f"edge.{name}"},
        "spec": {"className": "edge", "nodeName": name, "instances": [{"havip": "shop/web"}]},
        "status": {"appliedGeneration": 1, "vips": [vip], **more},
    }


def test_it_says_who_is_active_since_when_and_what_the_others_are() -> None:
    nodes = [
        _node("n2", "Standby", reason="PeerHeard"),
        _node("n1", "Active"),
        _node("n3", "Fault", reason="TrackFailed"),
    ]
    assert overview([_havip()], nodes, now=NOW) == [
        "shop/web 10.88.0.200 class edge active: n1 since 2026-01-01T11:57:00.000Z (3 min ago)",
        "  n1 Active Elected since 2026-01-01T11:57:00.000Z (3 min ago)",
        "  n2 Standby PeerHeard since 2026-01-01T11:57:00.000Z (3 min ago)",
        "  n3 Fault TrackFailed since 2026-01-01T11:57:00.000Z (3 min ago)",
    ]


def test_the_nodes_own_word_counts_more_than_the_operators_copy_of_it() -> None:
    stale = _havip(nodes=[{"name": "n1", "state": "Active"}], activeNode="n1")
    nodes = [_node("n1", "Standby"), _node("n2", "Active")]
    assert "active: n2" in overview([stale], nodes, now=NOW)[0]


def test_who_may_not_read_the_nodes_is_told_the_operators_copy() -> None:
    copy = _havip(nodes=[{"name": "n1", "state": "Active", "since": "2026-01-01T11:59:58Z"}])
    lines = overview([copy], None, now=NOW)
    assert lines[0].endswith("active: n1 since 2026-01-01T11:59:58Z (2 s ago)")
    assert lines[1].startswith("  n1 Active")


def test_two_active_nodes_are_both_named() -> None:
    (line, *_) = overview([_havip()], [_node("n1", "Active"), _node("n2", "Active")], now=NOW)
    assert "active: n1, n2 (more than one)" in line


def test_the_last_word_of_a_node_that_nobody_hears_any_more_does_not_count() -> None:
    havip = _havip(nodes=[{"name": "n2", "state": "Unknown", "reason": "NodeNotReady"}])
    (line, *rest) = overview([havip], [_node("n1", "Active"), _node("n2", "Active")], now=NOW)
    assert "active: n1" in line
    assert "more than one" not in line
    assert any(each.startswith("  n2 Unknown NodeNotReady") for each in rest)


def test_a_node_that_is_active_without_being_asked_to_is_shown() -> None:
    rogue = _node("n9", "Active")
    rogue["spec"]["instances"] = []
    bystander = _node("n8", "Standby")
    bystander["spec"]["instances"] = []
    lines = overview([_havip()], [rogue, bystander], now=NOW)
    assert [line.split()[0] for line in lines[1:]] == ["n9"]


def test_a_node_that_has_said_nothing_is_unknown() -> None:
    silent = _node("n1", "Active")
    silent["status"] = {}
    assert "  n1 Unknown NotReported" in overview([_havip()], [silent], now=NOW)


def test_why_a_vip_is_not_ready_stands_below_it() -> None:
    bad = _havip(
        conditions=[
            _condition("Ready", "False", "AddressInUse", "addresses[0]: 10.88.0.200 is used by shop/older"),
            _condition("Claimed", "False", "NotClaimed", "no node is active"),
            _condition("VrrpBlocked", "True", "VrrpBlocked", "n1 and n2 do not hear each other"),
        ]
    )
    assert overview([bad], [], now=NOW)[1:] == [
        "  not ready: AddressInUse: addresses[0]: 10.88.0.200 is used by shop/older",
        "  Claimed False: NotClaimed: no node is active",
        "  VrrpBlocked True: VrrpBlocked: n1 and n2 do not hear each other",
    ]


def test_what_a_node_left_out_stands_at_the_node() -> None:
    left_out = [
        {"havip": "shop/web", "reason": "PortTaken", "field": "frontends[http].port", "message": "80 is taken"},
        {"havip": "shop/other", "reason": "Invalid", "field": "", "message": "of another"},
    ]
    lines = overview([_havip()], [_node("n1", "Active", leftOut=left_out, error="reload refused")], now=NOW)
    assert lines[1].endswith("(reload refused; left out (PortTaken): frontends[http].port: 80 is taken)")


def test_the_last_three_failovers_are_told_newest_first() -> None:
    history = [
        {"from": "n2", "to": "n1", "reason": "PlannedSwitch", "durationMilliseconds": 1, "at": "2026-01-01T11:00:00Z"},
        {"from": "n1", "to": "n2", "reason": "NotHeard", "durationMilliseconds": 312, "at": "2026-01-01T10:00:00Z"},
        {"to": "n1", "reason": "Activated", "at": "2026-01-01T09:00:00Z"},
        {"from": "n4", "to": "n5", "reason": "NotHeard", "at": "2026-01-01T08:00:00Z"},
    ]
    assert overview([_havip(history=history)], [], now=NOW)[1:] == [
        "  switch n2 -> n1 in 1 ms: PlannedSwitch, at 2026-01-01T11:00:00Z (60 min ago)",
        "  failover n1 -> n2 in 312 ms: NotHeard, at 2026-01-01T10:00:00Z (2 h ago)",
        "  first active on n1: Activated, at 2026-01-01T09:00:00Z (3 h ago)",
    ]


def test_an_object_the_operator_has_not_seen_says_so() -> None:
    fresh = _havip()
    del fresh["status"]
    assert overview([fresh], [], now=NOW) == [
        "shop/web 10.88.0.200 class ? active: nobody",
        "  not ready: the operator has not seen it yet",
    ]


def test_text_from_the_cluster_does_not_steer_the_terminal() -> None:
    hostile = _havip(conditions=[_condition("Ready", "False", "Bad", "\x1b[2J\nowned\r\u202e")])
    text = "\n".join(overview([hostile], [], now=NOW))
    assert text.splitlines()[1] == "  not ready: Bad: ?[2J owned ?"
    assert all(each.isprintable() or each == "\n" for each in text)


def test_vips_are_sorted_and_apart() -> None:
    other = {"metadata": {"namespace": "a", "name": "b"}, "spec": {"addresses": ["fd00::1"]}}
    lines = overview([_havip(), other], [], now=NOW)
    assert lines[0].startswith("a/b fd00::1")
    assert "" in lines


def test_nothing_to_tell_is_told() -> None:
    assert overview([], [], now=NOW) == ["no HAVips"]

"""Servers by runtime commands: what is said for what is missing."""

from __future__ import annotations

import pytest
from tests.agent import orders

from havip.agent.haproxy import membership
from havip.agent.haproxy.context import Configuration, configure
from havip.agent.haproxy.runtime import ServerState

ONE, TWO = "10.0.0.1_80", "10.0.0.2_80"
UP = ServerState(up=True, maintenance=False, weight=1)
GONE = ServerState(up=False, maintenance=True, weight=1)


def wanted(*servers: str | tuple[str, int, int], check: orders.Body | None = None) -> Configuration:
    pool = orders.pool(servers=servers, healthCheck=check)
    return configure(orders.desired(orders.spec(orders.instance()), pool))[0]


def test_nothing_is_said_when_nothing_is_missing() -> None:
    running = {"shop.web": {ONE: UP}}
    assert membership.commands(wanted("10.0.0.1:80"), running) == []
    assert membership.settled(wanted("10.0.0.1:80"), running)


def test_a_new_server_is_added_and_enabled() -> None:
    assert membership.commands(wanted("10.0.0.1:80"), {}) == [
        f"add server shop.web/{ONE} ipv4@10.0.0.1:80 weight 1",
        f"enable server shop.web/{ONE}",
    ]


def test_a_new_server_with_checks_repeats_their_settings_and_switches_them_on() -> None:
    assert membership.commands(wanted("10.0.0.1:80", check=orders.CHECK), {}) == [
        f"add server shop.web/{ONE} ipv4@10.0.0.1:80 weight 1 check inter 1000ms rise 2 fall 3",
        f"enable health shop.web/{ONE}",
        f"enable server shop.web/{ONE}",
    ]


def test_a_server_that_leaves_takes_no_new_connections_and_is_deleted_when_it_can_be() -> None:
    assert membership.commands(wanted(), {"shop.web": {ONE: UP}}) == [
        f"set server shop.web/{ONE} state maint",
        f"del server shop.web/{ONE}",
    ]
    assert membership.commands(wanted(), {"shop.web": {ONE: GONE}}) == [f"del server shop.web/{ONE}"]
    assert membership.settled(wanted(), {"shop.web": {ONE: GONE}}), "open connections may hold it; that is as wanted"


def test_a_server_that_returns_while_it_was_leaving_is_taken_back() -> None:
    assert membership.commands(wanted("10.0.0.1:80"), {"shop.web": {ONE: GONE}}) == [
        f"set server shop.web/{ONE} state ready"
    ]


def test_a_weight_is_set() -> None:
    assert membership.commands(wanted(("10.0.0.1", 80, 0)), {"shop.web": {ONE: UP}}) == [
        f"set server shop.web/{ONE} weight 0"
    ]


@pytest.mark.parametrize(
    "has",
    [{}, {ONE: GONE}, {ONE: ServerState(up=True, maintenance=False, weight=2)}, {ONE: UP, TWO: UP}],
    ids=["missing", "in maintenance", "other weight", "one too many"],
)
def test_it_is_not_settled_as_long_as_something_differs(has: dict[str, ServerState]) -> None:
    assert not membership.settled(wanted("10.0.0.1:80"), {"shop.web": has})

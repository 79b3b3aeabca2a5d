"""A fabric's rules as text. That they do what they say is tried with packets (e2e/scenarios/test_fabrics.py)."""

from __future__ import annotations

import pytest
from e2e.lab.fabrics.rules import Front, Passage, Seat, Sight, shown, table_of_deliveries, table_of_ports

SEATS = (Seat("n1", "p1", "10.0.0.1", ("10.9.1.0/24",)), Seat("n2", "p2", "10.0.0.2"))
MARKS = {"n1": 101, "n2": 102}
BOTH = frozenset(MARKS)
VIP = "10.0.0.9"


def lines(passages=None, fronts=None):
    return shown(Sight(passages or {}, fronts or {}), SEATS, MARKS).splitlines()


def test_nothing_told_is_nothing_let_through():
    assert all(line.startswith("flush ") for line in lines())


def test_a_node_may_use_its_address_and_the_networks_behind_it():
    assert '"p1" . 10.0.0.1, "p1" . 10.9.1.0/24, "p2" . 10.0.0.2' in table_of_ports(SEATS, MARKS)


def test_what_passes_is_said_by_port():
    said = lines({VIP: Passage(leave=frozenset({"n1"}), enter=frozenset({"n2"}), holder="n1")})
    assert f'add element bridge gate leave {{ "p1" . {VIP} }}' in said
    assert f'add element bridge gate enter {{ "p2" . {VIP} }}' in said
    assert f"add element bridge gate holds_101 {{ {VIP} }}" in said
    assert not [line for line in said if line.startswith("add element bridge gate holds_102")]
    assert not [line for line in said if line.startswith("add element bridge gate learns")]


def test_whoever_announces_takes_the_vip_from_all_others():
    text = table_of_ports(SEATS, MARKS)
    assert "delete @holds_102 { arp saddr ip };" in text.partition("chain heard_101 {")[2].partition("}\n")[0]
    assert 'iifname "p1" iifname . arp saddr ip @learns jump heard_101' in text


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ((), "drop"),
        (("n2",), "goto spread_102"),
        (("n1", "n2"), "jhash ip saddr . th sport mod 2 vmap { 0 : goto spread_101, 1 : goto spread_102 }"),
    ],
)
def test_new_flows_are_spread_over_the_nodes_that_are_up(nodes, rule):
    chain = "_".join(["up", *(str(MARKS[node]) for node in nodes)])
    said = lines({VIP: Passage(BOTH, BOTH)}, {Front(VIP, "tcp", 443): nodes})
    assert f"add rule ip deliver {chain} {rule}" in said
    assert f"add element ip deliver fronts {{ {VIP} . tcp . 443 : goto {chain} }}" in said


def test_a_source_port_used_again_begins_a_new_flow():
    begins = table_of_deliveries(MARKS).partition("chain begin_101 {")[2].partition("goto to_101")[0]
    assert "delete @flows_102" in begins
    assert "update @flows_101" in begins

"""The keeper's table: whose adverts it drops, and whose business it leaves alone."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from tests.keeper.made import an_instance

from havip.keeper.nftables import rules, table
from havip.keeper.nftables.rules import Watched

GOLDEN = Path(__file__).parent / "golden"
FOUR = Watched.of(an_instance())
SIX = Watched(52, 6, (("n2", ip_address("fd00::12")),))


def test_the_table_is_the_golden_one() -> None:
    assert rules.table("havip_edge", [SIX, FOUR], owned=True) == (GOLDEN / "two.nft").read_text("ascii")


def test_only_our_own_virtual_router_ids_are_looked_at() -> None:
    lines = rules.table("havip_edge", [FOUR], owned=True).splitlines()
    looked_at = [line.strip() for line in lines if "@th,8,8" in line]
    assert looked_at == [
        "ip protocol 112 @th,8,8 51 goto from_51",
        "ip protocol 112 @th,8,8 51 goto sent_51",
    ]
    assert [line.strip() for line in lines if "policy" in line] == [
        "type filter hook input priority filter - 10; policy accept;",
        "type filter hook output priority filter - 10; policy accept;",
    ]


def test_no_form_is_used_that_makes_another_version_of_nft_crash() -> None:
    text = rules.table("havip_edge", [FOUR, SIX], owned=True)
    assert "vmap" not in text
    assert " type ip" not in text
    assert "meta l4proto" not in text


def test_without_instances_nothing_is_looked_at() -> None:
    assert "@th" not in rules.table("havip_edge", [], owned=True)


def test_two_classes_never_share_a_table() -> None:
    assert rules.table_name("edge") == "havip_edge"
    assert rules.table_name("edge-two") == "havip_edge_two"
    assert len({rules.table_name(name) for name in ("a-b-c", "ab-c", "a-bc", "abc")}) == 4


def test_nobody_s_table_but_ours_is_named() -> None:
    for text in (rules.table("havip_edge", [FOUR], owned=False), table.removal("havip_edge", owned=True)):
        named = {line.split()[line.split().index("inet") + 1] for line in text.splitlines() if "table inet" in line}
        assert named == {"havip_edge"}

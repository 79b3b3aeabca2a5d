"""The document between agent and keeper is hostile input: typed, bounded, and one bad instance never blocks another."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havip.model.election import Election, Instance, Peer, Timing, read_election
from havip.model.keys import Key
from havip.model.refusal import Refused


def an_instance(**over: Any) -> dict[str, Any]:
    return {
        "havip": "shop/web",
        "virtualRouterId": 51,
        "priority": 209,
        "addresses": ["10.88.0.200"],
        "sourceAddress": "10.88.0.11",
        "peers": [{"nodeName": "n2", "address": "10.88.0.12"}, {"nodeName": "n3", "address": "10.88.0.13"}],
        **over,
    }


def a_document(*instances: dict[str, Any], **over: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "className": "edge",
        "nodeName": "n1",
        "generation": 3,
        "interface": "eth0",
        "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
        "redundant": True,
        "instances": list(instances) or [an_instance()],
        **over,
    }


def test_a_document_survives_its_own_wire_form() -> None:
    election, left_out = read_election(a_document())
    assert left_out == ()
    assert read_election(election.to_json()) == (election, ())
    assert isinstance(election, Election)
    assert election.timing == Timing(100, 3, 30)
    assert election.instances[0].peers[0] == Peer.from_json({"nodeName": "n2", "address": "10.88.0.12"})


def test_dual_stack_is_elected_by_the_ipv4_address_and_the_other_moves_along() -> None:
    instance = Instance.from_json(an_instance(addresses=["fd00::200", "10.88.0.200"]))
    assert str(instance.elected) == "10.88.0.200"
    assert [str(address) for address in instance.excluded] == ["fd00::200"]


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"virtualRouterId": 0}, "virtualRouterId"),
        ({"virtualRouterId": 256}, "virtualRouterId"),
        ({"virtualRouterId": True}, "virtualRouterId"),
        ({"virtualRouterId": "51"}, "virtualRouterId"),
        ({"priority": 255}, "priority"),
        ({"priority": 1}, "priority"),
        ({"addresses": []}, "addresses"),
        ({"addresses": ["10.88.0.200", "10.88.0.201"]}, "addresses"),
        ({"addresses": ["10.88.0.200\n } notify x"]}, "addresses[0]"),
        ({"addresses": ["10.88.0.11"]}, "addresses"),
        ({"addresses": ["fd00::1"]}, "sourceAddress"),
        ({"sourceAddress": "0.0.0.0"}, "sourceAddress"),
        ({"peers": [{"nodeName": "n2", "address": "10.88.0.11"}]}, "peers[0].address"),
        ({"peers": [{"nodeName": "n2", "address": "fd00::2"}]}, "peers[0].address"),
        ({"peers": [{"nodeName": "N 2", "address": "10.88.0.12"}]}, "peers[0].nodeName"),
        ({"peers": [{"nodeName": "n2", "address": "10.88.0.12"}] * 2}, "peers"),
        ({"peers": [{"nodeName": "n2", "address": "10.88.0.12"}] * 5}, "peers"),
        ({"havip": "web"}, "havip"),
        ({"havip": "shop/../web"}, "havip"),
        ({"failback": "never"}, "failback"),
        ({"extraConfig": "notify x"}, "extraConfig"),
    ],
)
def test_a_bad_instance_is_left_out_by_field_and_the_others_go_on(over: dict[str, Any], field: str) -> None:
    good = an_instance(havip="shop/api", virtualRouterId=52, addresses=["10.88.0.201"])
    election, left_out = read_election(a_document(an_instance(**over), good))
    assert [instance.havip for instance in election.instances] == [Key("shop", "api")]
    assert [item.field for item in left_out] == [f"instances[0].{field}"]


def test_two_instances_that_share_a_virtual_router_id_or_an_address_keep_the_first() -> None:
    twin = an_instance(havip="shop/api", addresses=["10.88.0.201"])
    same_address = an_instance(havip="shop/mail", virtualRouterId=53)
    election, left_out = read_election(a_document(an_instance(), twin, same_address))
    assert [str(instance.havip) for instance in election.instances] == ["shop/web"]
    assert [item.havip for item in left_out] == ["shop/api", "shop/mail"]


def a_probe(**over: Any) -> dict[str, Any]:
    return {
        "port": 59_999,
        "sources": ["168.63.129.16/32"],
        "intervalMilliseconds": 5000,
        "threshold": 2,
        **over,
    }


@pytest.mark.parametrize("probe", [a_probe(), a_probe(overlapFlowsMilliseconds=0)])
def test_a_probe_survives_its_own_wire_form(probe: dict[str, Any]) -> None:
    body = an_instance(probe=probe)
    instance = Instance.from_json(body)
    assert instance.to_json()["probe"] == probe
    assert Instance.from_json(instance.to_json()) == instance


def test_without_a_probe_nothing_is_said_of_one() -> None:
    assert "probe" not in Instance.from_json(an_instance()).to_json()
    assert Instance.from_json(an_instance(probe=None)).probe is None


@pytest.mark.parametrize(
    ("probe", "field"),
    [
        (a_probe(port=0), "probe.port"),
        (a_probe(port=65_536), "probe.port"),
        (a_probe(port="59999"), "probe.port"),
        (a_probe(sources=[]), "probe.sources"),
        (a_probe(sources=["168.63.129.16"]), "probe.sources[0]"),
        (a_probe(sources=["10.0.0.1/8"]), "probe.sources[0]"),
        (a_probe(sources=["10.0.0.0/8 } accept; {"]), "probe.sources[0]"),
        (a_probe(sources=["168.63.129.16/32", "fe80::/10"]), "probe.sources[1]"),
        (a_probe(sources=["168.63.129.16/32"] * 9), "probe.sources"),
        (a_probe(intervalMilliseconds=99), "probe.intervalMilliseconds"),
        (a_probe(intervalMilliseconds=60_001), "probe.intervalMilliseconds"),
        (a_probe(threshold=0), "probe.threshold"),
        (a_probe(threshold=11), "probe.threshold"),
        (a_probe(overlapFlowsMilliseconds=-1), "probe.overlapFlowsMilliseconds"),
        (a_probe(overlapFlowsMilliseconds=600_001), "probe.overlapFlowsMilliseconds"),
        (a_probe(overlapFlowsMilliseconds=True), "probe.overlapFlowsMilliseconds"),
        (a_probe(rule="accept"), "probe.rule"),
        (59_999, "probe"),
    ],
)
def test_a_probe_that_is_not_understood_is_refused_by_field(probe: object, field: str) -> None:
    _election, left_out = read_election(a_document(an_instance(probe=probe)))
    assert [item.field for item in left_out] == [f"instances[0].{field}"]


def test_two_instances_are_not_probed_on_one_port() -> None:
    other = an_instance(havip="shop/api", virtualRouterId=52, addresses=["10.88.0.201"], probe=a_probe())
    election, left_out = read_election(a_document(an_instance(probe=a_probe()), other))
    assert [str(instance.havip) for instance in election.instances] == ["shop/web"]
    assert [(item.havip, item.field) for item in left_out] == [("shop/api", "instances[1].probe.port")]


def test_the_sources_of_an_ipv6_address_are_ipv6_networks() -> None:
    six = an_instance(addresses=["fd00::200"], sourceAddress="fd00::11", peers=[], probe=a_probe(sources=["fe80::/10"]))
    assert read_election(a_document(six))[1] == ()


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"interface": "eth0; reboot"}, "interface"),
        (
            {"timing": {"advertIntervalMilliseconds": 1, "missedAdverts": 3, "settleSeconds": 0}},
            "timing.advertInterval",
        ),
        ({"instances": [an_instance()] * 256}, "instances"),
        ({"script": "x"}, "script"),
    ],
)
def test_a_frame_that_is_not_understood_refuses_the_whole(over: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        read_election(a_document(**over))
    assert refused.value.field.startswith(field)


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [inner for key, item in value.items() for inner in _paths(item, (*path, key))]
    if isinstance(value, list):
        return [inner for index, item in enumerate(value) for inner in _paths(item, (*path, index))]
    return [path]


@given(
    where=st.sampled_from(_paths(a_document())),
    value=st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(), st.lists(st.text(), max_size=3)),
)
def test_any_value_anywhere_is_taken_as_typed_or_refused_and_never_raises_anything_else(
    where: tuple[Any, ...], value: object
) -> None:
    document = copy.deepcopy(a_document())
    inner: Any = document
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    try:
        election, _ = read_election(document)
    except Refused:
        return
    assert "\n" not in str(election.to_json())
    assert "\\n" not in str(election.to_json())

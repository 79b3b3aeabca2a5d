"""Addresses are read strictly: keepalived's own check lets a node's address, 0.0.0.0 and multicast through."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havip.model.address import parse_address, parse_interface_name, parse_network, parse_virtual_address
from havip.model.refusal import Refused


@pytest.mark.parametrize("text", ["10.88.0.200", "203.0.113.7", "fd00::5", "2001:db8::1", "FD00:0::5"])
def test_a_unicast_address_is_taken(text: str) -> None:
    assert parse_virtual_address(text) == ipaddress.ip_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "999.1.1.1",
        "10.0.0",
        "10.0.0.1.2",
        "010.0.0.1",
        "0x0a000001",
        "167772161",
        "１０.0.0.1",
        "10.0.0.1 ",
        "10.0.0.1\n",
        "10.0.0.1/32",
        "fd00::1%eth0",
        "::ffff:10.0.0.5",
        'fd00::1\n } notify "/bin/sh"',
        None,
        7,
        ["10.0.0.1"],
    ],
)
def test_what_is_not_written_as_one_address_is_refused_with_what_would_be_accepted(text: object) -> None:
    with pytest.raises(Refused, match="must be"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "0.0.0.0/8"),
        ("255.255.255.255", "broadcast"),
        ("224.0.0.1", "multicast"),
        ("127.0.0.1", "loopback"),
        ("240.0.0.1", "reserved"),
        ("169.254.169.254", "link-local"),
        ("168.63.129.16", "platform"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("ff02::1", "multicast"),
        ("fe80::1", "link-local"),
    ],
)
def test_an_address_no_client_could_reach_is_refused_by_its_class(text: str, what: str) -> None:
    with pytest.raises(Refused, match=what):
        parse_virtual_address(text)


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_refusal_that_shows_no_control_character(text: str) -> None:
    try:
        parse_address(text)
    except Refused as refused:
        assert refused.message.isascii()
        assert refused.message.isprintable()


@given(st.ip_addresses())
def test_two_spellings_of_one_address_are_equal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    try:
        parsed = parse_address(str(address))
    except Refused:
        assert isinstance(address, ipaddress.IPv6Address)
        assert address.ipv4_mapped or address.scope_id
        return
    assert parsed == parse_address(address.exploded if address.version == 6 else str(address))


@pytest.mark.parametrize("text", ["10.0.0.0/24", "fd00::/64", "10.0.0.5/32"])
def test_a_network_is_taken(text: str) -> None:
    assert str(parse_network(text)) == text


@pytest.mark.parametrize("text", ["10.0.0.5/24", "10.0.0.0", "10.0.0.0/33", "x/8", 3, "10.0.0.0/-1"])
def test_what_is_not_a_network_is_refused(text: object) -> None:
    with pytest.raises(Refused, match=r"10\.0\.0\.0/24"):
        parse_network(text)


@pytest.mark.parametrize("name", ["eth0", "bond0.100", "br-ex", "ens1f0np0", "x" * 15])
def test_an_interface_name_is_taken(name: str) -> None:
    assert parse_interface_name(name) == name


@pytest.mark.parametrize("name", ["", "lo", "x" * 16, "eth0; reboot", "../x", "*", "a@b", "eth0\n", "eth 0", None])
def test_what_is_not_an_interface_name_is_refused(name: object) -> None:
    with pytest.raises(Refused, match="at most 15"):
        parse_interface_name(name)

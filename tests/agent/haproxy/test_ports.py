"""Ports that somebody else listens on, from /proc/net."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from havip.agent.haproxy.ports import Listening, listening, parse

VIP4, VIP6 = ipaddress.ip_address("10.88.0.200"), ipaddress.ip_address("fd00::200")

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0B00580A:0050 0C00580A:D431 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


def test_only_listening_sockets_count() -> None:
    assert parse(TCP.splitlines()) == {
        (ipaddress.ip_address("127.0.0.1"), 8080),
        (ipaddress.ip_address("0.0.0.0"), 22),
    }
    assert parse(TCP6.splitlines()) == {(ipaddress.ip_address("::1"), 80)}


@pytest.mark.parametrize(
    ("other", "vip", "taken"),
    [
        ("10.88.0.200", VIP4, True),
        ("0.0.0.0", VIP4, True),
        ("::", VIP4, True),
        ("::ffff:10.88.0.200", VIP4, True),
        ("10.88.0.11", VIP4, False),
        ("127.0.0.1", VIP4, False),
        ("fd00::200", VIP6, True),
        ("::", VIP6, True),
        ("0.0.0.0", VIP6, False),
        ("::1", VIP6, False),
    ],
)
def test_a_port_is_taken_on_the_vip_itself_or_on_all_addresses(
    other: str, vip: ipaddress.IPv4Address, taken: bool
) -> None:
    table = Listening(frozenset({(ipaddress.ip_address(other), 80)}))
    assert (table.in_the_way(vip, 80) is not None) is taken
    assert table.in_the_way(vip, 81) is None


def test_a_real_listener_of_this_machine_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening().in_the_way(ipaddress.ip_address("127.0.0.1"), port) is not None
    assert listening().in_the_way(ipaddress.ip_address("127.0.0.1"), port) is None

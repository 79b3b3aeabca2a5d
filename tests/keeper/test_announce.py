"""The frames that say where an address is, byte by byte."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from havip.keeper.announce import gratuitous_arp, internet_checksum, unsolicited_advertisement

HARDWARE = bytes.fromhex("020000000011")


def test_a_gratuitous_arp_asks_everybody_for_the_address_by_the_address() -> None:
    frame = gratuitous_arp(HARDWARE, IPv4Address("10.88.0.200"))
    assert frame.hex() == (
        "ffffffffffff0200000000110806"
        "0001080006040001"
        "0200000000110a5800c80000000000000a5800c8"
    )  # fmt: skip


def test_an_unsolicited_advertisement_overrides_what_neighbours_know() -> None:
    address = IPv6Address("fd00::200")
    frame = unsolicited_advertisement(HARDWARE, address)
    assert frame[:6].hex() == "333300000001"
    assert frame[12:14].hex() == "86dd"
    header, body = frame[14:54], frame[54:]
    assert header[6:8] == bytes([58, 255])
    assert header[8:24] == address.packed
    assert header[24:40] == IPv6Address("ff02::1").packed
    assert struct.unpack_from("!H", header, 4)[0] == len(body) == 32
    assert body[0] == 136
    assert body[4:8].hex() == "20000000"
    assert body[8:24] == address.packed
    assert body[24:] == bytes([2, 1]) + HARDWARE
    pseudo = header[8:40] + struct.pack("!IxxxB", len(body), 58)
    assert internet_checksum(pseudo + body) == 0


def test_the_checksum_is_the_one_of_the_rfc() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert internet_checksum(b"\x01") == internet_checksum(b"\x01\x00")

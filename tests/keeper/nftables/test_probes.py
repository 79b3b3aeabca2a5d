"""The table of probes: what is sent on to the VIP, what is refused, and that the real nft takes it."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from havip.keeper.nftables import probes, rules, table
from havip.keeper.nftables.probes import Probed

GOLDEN = Path(__file__).parent / "golden" / "probes.nft"
AZURE = (ip_network("168.63.129.16/32"),)
OWN = (ip_address("10.88.0.11"),)
WEB = Probed(ip_address("10.88.0.200"), 59_999, AZURE, OWN)
API = Probed(ip_address("10.88.0.201"), 59_998, AZURE, OWN)
WITHDRAWN = Probed(ip_address("10.88.0.202"), 59_997, AZURE, OWN, answering=False)
SIX = Probed(ip_address("fd00::200"), 59_990, (ip_network("fe80::/10"),), (ip_address("fd00::11"),))
WIDE = Probed(ip_address("10.88.0.203"), 59_996, (*AZURE, ip_network("10.0.0.0/8")), (*OWN, ip_address("10.88.0.12")))
ALL = [WEB, API, WITHDRAWN, SIX, WIDE]


def lines(*entries: Probed) -> list[str]:
    return [line.strip() for line in probes.batch("havipprobe_edge", entries, owned=True).splitlines()]


def test_the_table_is_the_golden_one() -> None:
    assert probes.batch("havipprobe_edge", ALL, owned=True) == GOLDEN.read_text("ascii")


@pytest.mark.binaries
@pytest.mark.parametrize("owned", [True, False])
def test_the_real_nftables_takes_it_and_lists_it(owned: bool) -> None:
    """In a network namespace of its own: nothing of this machine is touched."""
    program = (
        "import subprocess, sys\n"
        "from havip.keeper.nftables.library import Nftables\n"
        "nftables = Nftables()\n"
        "for _ in range(2): nftables.run(sys.argv[1])\n"
        "print(subprocess.run(['nft', 'list', 'ruleset'], capture_output=True, text=True, check=True).stdout)\n"
        "nftables.run(sys.argv[2])\n"
        "print(subprocess.run(['nft', 'list', 'tables'], capture_output=True, text=True, check=True).stdout + 'end')\n"
    )
    batch = probes.batch("havipprobe_edge", ALL, owned=owned)
    words = ["unshare", "--net", sys.executable, "-c", program, batch, table.removal("havipprobe_edge", owned=owned)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'tcp dport 59999 counter name "probed" dnat ip to 10.88.0.200' in done.stdout
    assert "ip daddr 10.88.0.200 tcp dport 59999 ct status dnat reject with tcp reset" in done.stdout
    assert done.stdout.splitlines()[-1] == "end"


def test_one_that_withdrew_is_not_sent_on_and_still_refused() -> None:
    found = lines(WEB, WITHDRAWN)
    assert not [line for line in found if "59997" in line and "dnat ip to" in line]
    assert "ip daddr 10.88.0.202 tcp dport 59997 ct status dnat reject with tcp reset" in found
    assert "ip daddr 10.88.0.202 tcp dport 59997 reject with tcp reset" in found


def test_only_the_sources_of_a_probe_are_sent_on_and_only_from_the_node_s_addresses() -> None:
    jumps = [line for line in lines(*ALL) if " jump ports_" in line]
    assert jumps == [
        "ip6 saddr fe80::/10 ip6 daddr fd00::11 jump ports_0",
        "ip saddr 168.63.129.16 ip daddr 10.88.0.11 jump ports_1",
        "ip saddr 168.63.129.16 ip daddr 10.88.0.12 jump ports_1",
        "ip saddr 10.0.0.0/8 ip daddr 10.88.0.11 jump ports_1",
        "ip saddr 10.0.0.0/8 ip daddr 10.88.0.12 jump ports_1",
        "ip saddr 168.63.129.16 ip daddr 10.88.0.11 jump ports_2",
    ]


def test_a_packet_that_is_no_probe_is_compared_once_per_hook() -> None:
    found = lines(*ALL)
    assert [line for line in found if "jump" in line and "dport" in line] == [
        "tcp dport 59990-59999 jump sources",
        "tcp dport 59990-59999 jump refused",
        "tcp dport 59990-59999 jump strangers",
    ]
    assert "tcp dport 59999 jump sources" in lines(WEB)


def test_no_form_is_used_that_makes_another_version_of_nft_crash() -> None:
    text = probes.batch("havipprobe_edge", ALL, owned=True)
    assert "map" not in text
    assert " set " not in text
    assert "meta l4proto" not in text
    assert not [
        line for line in text.splitlines() if line.count("{") and line.strip()[:5] not in ("table", "chain", "count")
    ]


def test_no_class_shares_a_table_with_the_probes_of_another() -> None:
    classes = ("edge", "probe-edge", "a-b", "a", "probe")
    names = {named(name) for name in classes for named in (rules.table_name, probes.table_name)}
    assert len(names) == 2 * len(classes)

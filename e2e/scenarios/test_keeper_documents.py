"""What a keeper makes of its document, its neighbours and its node: bad input, strangers, other classes, families."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.lab import Kind, Lab, Part, Pod, Stretch, Vip, now
from e2e.lab.faults import (
    PlainKeepalived,
    adverts_dropped,
    adverts_forged,
    all_pairs,
    flush_addresses,
    plain_configuration,
    refusing_keepalived,
)
from e2e.scenarios.conftest import NewVip
from e2e.scenarios.keepers import (
    applied,
    captured,
    declare,
    elections,
    in_hex,
    protected,
    said,
    said_state,
    settled,
    start_keeper,
    stop_keeper,
    tell,
    without_peers,
)
from havip.model.election import Timing
from havip.model.states import State

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

QUICK = [Kind.ICMP, Kind.UDP]


@pytest.fixture
def lab(healed_keepers: Lab) -> Lab:
    return healed_keepers


# Documents


def test_a_document_of_an_unknown_version_changes_nothing_and_is_named(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    documents = declare(lab, vip)
    active = protected(lab, vip)
    pod = active.pod()
    pod.write_election(json.dumps({**documents[active.name].to_json(), "version": 2, "generation": 10**6}))
    report = pod.wait_report("an error", lambda report: "version" in report.error)
    assert report.applied_generation == documents[active.name].generation
    assert [item.havip for item in report.instances] == [vip.key]
    pod.write_election("{")
    pod.wait_report("an error", lambda report: "not JSON" in report.error)
    assert settled(lab, vip) is active
    tell(lab, documents, wait=False)
    pod.wait_report("no error", lambda report: not report.error)


def test_a_bad_instance_is_left_out_and_the_others_run(lab: Lab, new_vip: NewVip) -> None:
    good, bad = new_vip(), new_vip()
    documents = elections(lab, good, bad)
    lab.observer.watch(good.address)
    for name, election in documents.items():
        body = election.to_json()
        instances = body["instances"]
        assert isinstance(instances, list)
        for instance in instances:
            if instance["havip"] == str(bad.key):
                instance["addresses"] = ['10.77.0.9\n } notify "/bin/sh -c id"']
        lab.node(name).pod().write_election(json.dumps(body))
        report = applied(lab.node(name).pod(), election.generation)
        assert [(item.havip, item.reason) for item in report.left_out] == [(str(bad.key), "Invalid")]
        assert [item.havip for item in report.instances] == [good.key]
    settled(lab, good)


def test_an_instance_whose_new_version_is_bad_keeps_its_old_one(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    documents = declare(lab, vip)
    active = protected(lab, vip)
    body = replace(documents[active.name], generation=documents[active.name].generation + 1000).to_json()
    instances = body["instances"]
    assert isinstance(instances, list)
    instances[0]["priority"] = 255
    active.pod().write_election(json.dumps(body))
    report = applied(active.pod(), documents[active.name].generation + 1000)
    assert [item.field for item in report.left_out] == ["instances[0].priority"]
    assert settled(lab, vip) is active


def test_an_instance_without_peers_is_not_started_where_the_class_has_other_nodes(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    documents = declare(lab, vip, edit=lambda _name, instance: without_peers(instance))
    for name, election in documents.items():
        report = applied(lab.node(name).pod(), election.generation)
        assert [item.reason for item in report.left_out] == ["NoPeers"]
        assert report.instances == ()
    assert lab.observer.holders(vip.address) == ()


def test_a_class_of_one_node_holds_its_address_and_sends_nothing(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    node = lab.node(1)
    documents = elections(lab, vip, edit=lambda _name, instance: without_peers(instance))
    lab.observer.watch(vip.address)
    with captured(node.network, "eth0", "-Q", "out", "proto", "112") as adverts:
        tell(lab, {node.name: replace(documents[node.name], redundant=False)})
        said_state(node, vip, State.ACTIVE)
        # Longer than an address lives: it is renewed although no advert ever leaves the node.
        before = now()
        with lab.client_of(vip, kinds=QUICK) as client:
            client.wait_answered(after=before + 3_000_000_000)
            lost = client.history().outage_ms()
    assert lost < 100
    assert adverts == []


def test_a_binary_that_refuses_the_file_leaves_the_old_one_running(lab: Lab, new_vip: NewVip) -> None:
    vip, other = new_vip(), new_vip()
    node = lab.node(1)
    program, switch = refusing_keepalived(lab.folder)
    stop_keeper(node)
    pod = node.pod()
    pod.environment = {"KEEPALIVED": str(program)}
    try:
        start_keeper(node)
        pod.wait_report("the keeper is there", lambda _report: True)
        declare(lab, vip)
        protected(lab, vip)
        switch.touch()
        documents = declare(lab, vip, other, wait=False)
        report = pod.wait_report("left out", lambda report: bool(report.left_out))
        assert [(item.havip, item.reason) for item in report.left_out] == [(str(other.key), "Rejected")]
        assert "no such keyword" in report.left_out[0].message
        assert settled(lab, vip) is node
        switch.unlink()
        # The same document once more is no news; a new one is.
        tell(lab, {name: replace(item, generation=item.generation + 5000) for name, item in documents.items()})
        said(node, other, lambda item: item.state in (State.ACTIVE, State.STANDBY))
    finally:
        switch.unlink(missing_ok=True)
        stop_keeper(node)
        pod.environment = {}


# The node and its neighbours


def test_nothing_is_said_while_nothing_changes(lab: Lab, new_vip: NewVip) -> None:
    vips = [new_vip() for _ in range(5)]
    declare(lab, *vips)
    for vip in vips:
        protected(lab, vip)
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(lab.node(1).pod().folders.state_socket))
        stream.settimeout(5)
        first = stream.recv(1 << 16)
        assert json.loads(first)["version"] == 1
        with pytest.raises(TimeoutError):  # five seconds are twenty looks at the counters and ten renewals
            print(stream.recv(1 << 16))


def test_an_address_that_somebody_removed_is_back_at_once(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    before = now()
    with lab.client_of(vip, kinds=QUICK) as client:
        client.wait_answered()
        active.network.ip("address", "delete", f"{vip.address}/32", "dev", "eth0")
        client.wait_answered()
        lost = client.history().outage_ms()
    print(f"address removed: {lost:.0f} ms without an answer")
    assert lost < 500
    assert lab.observer.history().became_active(vip.address, Stretch(before, now())) in ((), (active.number,))
    assert settled(lab, vip) is active


def test_a_node_whose_addresses_were_all_flushed_costs_one_short_gap(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    with lab.client_of(vip, kinds=QUICK) as client:
        client.wait_answered()
        flush_addresses(active)
        client.wait_answered()
        lost = client.history().outage_ms()
    print(f"all addresses flushed: {lost:.0f} ms without an answer")
    assert lost < 1000
    settled(lab, vip)


def test_a_foreign_address_on_a_standby_is_reported_and_never_removed(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    standby = next(node for node in lab.nodes if node is not active)
    standby.network.ip("address", "add", f"{vip.address}/32", "dev", "eth0")
    report = said_state(standby, vip, State.UNKNOWN)
    assert report.reason == "ForeignAddress"
    assert vip.address in map(str, standby.addresses())
    standby.network.ip("address", "delete", f"{vip.address}/32", "dev", "eth0")
    said_state(standby, vip, State.STANDBY)


def test_forged_adverts_move_nothing(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    before = now()
    with (
        lab.client_of(vip, kinds=QUICK) as client,
        adverts_forged(lab, vip=vip.address, virtual_router_id=vip.virtual_router_id),
    ):
        client.wait_answered(after=before + 3_000_000_000)
        lost = client.history().outage_ms()
    print(f"forged adverts for 3 s: {lost:.0f} ms without an answer")
    assert lost < 50
    assert settled(lab, vip) is active


def test_two_that_do_not_hear_each_other_say_so_and_one_wins_when_they_do(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    protected(lab, vip)
    with adverts_dropped(lab, *all_pairs(lab.nodes)):
        for node in lab.nodes:
            report = said_state(node, vip, State.ACTIVE)
            assert report.heard == ()
    settled(lab, vip)


def test_a_node_whose_adverts_do_not_leave_stands_back(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    rule = "table inet block { chain out { type filter hook output priority -100; ip protocol 112 drop; }; }"
    active.network.nft(rule)
    try:
        report = said(active, vip, lambda item: item.state is State.FAULT)
        assert report.reason == "AdvertsNotLeaving"
        lab.observer.wait_one_holder(vip.address, but=active.number)
    finally:
        active.network.nft("delete table inet block")
    said_state(active, vip, State.STANDBY)


def test_a_foreign_keepalived_on_the_same_node_is_not_harmed(lab: Lab, new_vip: NewVip) -> None:
    vip, foreign = new_vip(), new_vip()
    one, two = lab.node(1), lab.node(2)
    lab.observer.watch(foreign.address)
    plain = []
    for node, peer, priority in ((one, two, 150), (two, one, 100)):
        text = plain_configuration(
            name="foreign",
            virtual_router_id=foreign.virtual_router_id,
            priority=priority,
            source=node.member.address4,
            peers=[peer.member.address4],
            vip=foreign.address,
            advert_seconds=0.1,
        )
        plain.append(PlainKeepalived(lab, node, name="foreign", configuration=text))
    try:
        lab.observer.wait_holders(foreign.address, 1)
        before = now()
        declare(lab, vip)
        protected(lab, vip)
        for node in lab.nodes:
            stop_keeper(node)
        lab.observer.wait_holders(vip.address)
        assert lab.observer.history().became_active(foreign.address, Stretch(before, now())) == ()
        assert lab.observer.holders(foreign.address) == (1,)
    finally:
        for process in plain:
            process.kill()
        one.clean_kernel()
        two.clean_kernel()


def test_two_classes_on_the_same_nodes_do_not_touch_each_other(lab: Lab, new_vip: NewVip) -> None:
    vip, other = new_vip(), new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    before = now()
    second = elections(lab, other, class_name="second-class")
    lab.observer.watch(other.address)
    tell(lab, second, wait=False)
    try:
        for node in lab.nodes:
            start_keeper(node, "second-class")
        for node in lab.nodes:
            applied(node.pod("second-class"), second[node.name].generation)
        holder = lab.node(lab.observer.wait_one_holder(other.address))
        assert {"havip_lab", "havip_second_class"} <= set(holder.network.run("nft", "list", "tables").split())
    finally:
        for node in lab.nodes:
            stop_keeper(node, "second-class")
    lab.observer.wait_holders(other.address)
    assert "havip_lab" in active.network.run("nft", "list", "tables")
    assert lab.observer.history().became_active(vip.address, Stretch(before, now())) == ()
    assert settled(lab, vip) is active


def test_the_queue_for_a_neighbour_that_is_down_is_short(lab: Lab, new_vip: NewVip) -> None:
    declare(lab, new_vip())
    listing = lab.node(1).network.ip("ntable", "show", "dev", "eth0", "name", "arp_cache")
    words = listing.split()
    assert int(words[words.index("queue") + 1]) <= 4


def test_nothing_below_proc_sys_is_written_by_the_keeper() -> None:
    sources = Path(__file__).parents[2] / "operator" / "havip" / "keeper"
    assert not [path for path in sources.rglob("*.py") if "/proc/sys" in path.read_text("utf-8")]


# Families


@pytest.mark.parametrize("kind", [{"v6": True}, {"dual": True}], ids=["IPv6", "dual stack"])
def test_addresses_of_both_families_move_together(lab: Lab, new_vip: NewVip, kind: dict[str, bool]) -> None:
    vip = new_vip(**kind)
    declare(lab, vip)
    active = protected(lab, vip)
    six = vip.addresses[-1]
    route = active.network.ip("-6", "route", "get", "fd77::64")
    assert six not in route, "the VIP must not be the node's own source address"
    before = now()
    with lab.client_of(vip, kinds=QUICK) as client:
        client.wait_answered()
        active.pod().kill_keepalived()
        for address in vip.addresses:
            lab.observer.wait_one_holder(address, but=active.number)
        client.wait_answered()
        lost = client.history().outage_ms()
    heir, end = settled(lab, vip), now()
    history = lab.observer.history()
    became = {history.became_active(address, Stretch(before, end)) for address in vip.addresses}
    print(f"SIGKILL of keepalived, {len(vip.addresses)} addresses: {lost:.0f} ms without an answer, {became} active")
    # On a machine without a CPU to spare another standby may begin first; that is for other scenarios.
    assert len(became) == 1
    assert {history.held_by(address, end) for address in vip.addresses} == {(heir.number,)}
    assert active.number not in set().union(*became)
    assert lost < 1500


def test_an_address_of_one_family_that_stays_away_is_said_and_a_peer_serves(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(dual=True)
    node = lab.node(1)
    node.network.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    try:
        declare(lab, vip, wait=False)
        report = said(node, vip, lambda item: item.reason == "AddressMissing")
        assert report.state is not State.ACTIVE
        for address in vip.addresses:
            lab.observer.wait_one_holder(address, but=node.number)
    finally:
        node.network.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
        node.clean_kernel()


# The local load balancer


class FakeHaproxy:
    """A health socket that answers as haproxy's does, or not at all."""

    def __init__(self, pod: Pod) -> None:
        path = Path(pod.folders.haproxy_health_socket)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._path = path
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def test_a_node_whose_haproxy_is_silent_is_not_active_while_another_s_answers(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(port=80)
    health = {node.name: FakeHaproxy(node.pod()) for node in lab.nodes}
    try:
        declare(lab, vip)
        active = protected(lab, vip)
        with lab.client_of(vip, kinds=QUICK) as client:
            client.wait_answered()
            health.pop(active.name).close()
            heir = lab.node(lab.observer.wait_one_holder(vip.address, but=active.number))
            client.wait_answered()
            lost = client.history().outage_ms()
        report = said_state(active, vip, State.STANDBY)
        print(f"haproxy silent: {lost:.0f} ms without an answer")
        assert report.reason == "TrackFailed"
        assert lost < 100
        for fake in health.values():
            fake.close()
        health.clear()
        for node in lab.nodes:
            said(node, vip, lambda item: item.reason == "TrackFailed")
        lab.observer.wait_one_holder(vip.address)
        assert heir is not active
    finally:
        for fake in health.values():
            fake.close()


# A keeper that cannot work


def test_a_keeper_without_capabilities_says_so_and_ends(lab: Lab) -> None:
    node = lab.node(1)
    words = ["ip", "netns", "exec", node.network.name, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    command = node.pod().running[Part.KEEPER]
    assert command.running
    done = subprocess.run(
        [*words, sys.executable, "-m", "havip.keeper"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "NET_ADMIN" in done.stderr


def test_a_slower_election_is_applied_without_a_transition(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    before = now()
    declare(lab, vip, timing=Timing(advert_interval_ms=200, missed_adverts=4, settle_seconds=1))
    said_state(active, vip, State.ACTIVE)
    assert lab.observer.history().became_active(vip.address, Stretch(before, now())) == ()


def test_announcements_are_repeated_when_they_are_asked_for(lab: Lab, new_vip: NewVip) -> None:
    vip: Vip = new_vip()
    declare(lab, vip)
    active = protected(lab, vip)
    with captured(lab.client, "eth0", f"arp and arp[24:4]={in_hex(vip.address)}", count=5) as announcements:
        declare(lab, replace(vip, announce=1))
    assert len(announcements) >= 5
    assert settled(lab, vip) is active

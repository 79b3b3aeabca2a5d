"""A cloud that probes, on real keepalived and nftables: who answers, who is refused, and what a planned switch costs.

Each scenario prints its figures. Bounds are generous: they catch a wrong mechanism, not a slow machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from e2e.lab import Lab, Node, Part, Stretch, Vip, now
from e2e.lab.follow import wait_until
from e2e.scenarios.conftest import NewVip
from e2e.scenarios.keepers import (
    captured,
    declare,
    elections,
    in_hex,
    protected,
    runs,
    said,
    said_state,
    settled,
    start_keeper,
    stop_keeper,
    tell,
)
from e2e.scenarios.probes import (
    SOURCES,
    Answer,
    Asked,
    Asking,
    Balancer,
    Flow,
    Repeating,
    ask,
    client_address,
    half_open,
    no_way_between_nodes,
    prepare,
    probed,
    services,
)
from havip.model.address import parse_network
from havip.model.election import Probe
from havip.model.states import State

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

PORT = 59_999
TABLE = "havipprobe_lab"
AT_ONCE_MS = 50
"""A refusal takes 0.1 ms; a busy machine some more; silence a second."""
QUICK = Probe(PORT, SOURCES, interval_ms=200, threshold=1, overlap_flows_ms=600)
"""Both answer for 0.4 s; then the copy stays for 1 s."""
BOTH_MS, DRAINED_MS = 400, 1400


@pytest.fixture(scope="module")
def keepers(keepers: Lab) -> Lab:
    """With a balancer in front of them."""
    prepare(keepers)
    return keepers


@pytest.fixture
def lab(healed_keepers: Lab) -> Lab:
    return healed_keepers


def plain(**wanted: Any) -> Probe:
    """Without overlap: a planned switch moves the address at once."""
    return replace(QUICK, overlap_flows_ms=None, **wanted)


def others(lab: Lab, active: Node) -> list[Node]:
    return [node for node in lab.nodes if node is not active]


def refused_at_once(asked: Asked) -> bool:
    return asked.answer is Answer.RESET and asked.took_ms < AT_ONCE_MS


@contextmanager
def masquerade(node: Node) -> Iterator[None]:
    """What container networks do to forwarded traffic."""
    chain = "type nat hook postrouting priority srcnat;\nmasquerade\n"
    node.network.nft(f"table ip cni {{\nchain postrouting {{\n{chain}}}\n}}\n")
    try:
        yield
    finally:
        node.network.nft("delete table ip cni")


def copies(node: Node) -> list[str]:
    """Addresses with a lifetime on the loopback."""
    return [line for line in node.network.ip("-o", "address", "show", "dev", "lo").splitlines() if "dynamic" in line]


# Who answers


def test_only_the_active_node_answers_from_the_first_probe_on(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(plain()))
    first = {node.name: ask(lab, node, PORT) for node in lab.nodes}
    active = protected(lab, vip)
    assert [one for one in first.values() if one.answer is Answer.SILENCE] == []
    slowest = 0.0
    for _ in range(20):
        assert ask(lab, active, PORT).answer is Answer.UP
        for node in others(lab, active):
            asked = ask(lab, node, PORT)
            assert refused_at_once(asked), asked
            slowest = max(slowest, asked.took_ms)
    print(f"a standby refuses within {slowest:.2f} ms")


def test_a_standby_behind_a_masquerade_is_refused_just_the_same(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    with ExitStack() as rules:
        for node in lab.nodes:
            rules.enter_context(masquerade(node))
        declare(lab, vip, edit=probed(plain()))
        active = protected(lab, vip)
        for _ in range(10):
            assert ask(lab, active, PORT).answer is Answer.UP
            for node in others(lab, active):
                assert refused_at_once(ask(lab, node, PORT))


def test_nobody_else_is_answered(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(plain()))
    active = protected(lab, vip)
    stranger = client_address(lab)
    assert ask(lab, active, PORT).answer is Answer.UP
    assert ask(lab, active, PORT, source=stranger).answer is Answer.RESET
    assert ask(lab, active, PORT, source=stranger, target=vip.address).answer is Answer.RESET
    assert ask(lab, active, PORT + 1).answer is Answer.RESET


def test_two_havips_on_different_nodes_answer_each_on_its_own_port(lab: Lab, new_vip: NewVip) -> None:
    one, two = new_vip(preferred=("n1", "n2", "n3")), new_vip(preferred=("n2", "n1", "n3"))
    ports = {one.key: PORT, two.key: PORT - 1}
    declare(lab, one, two, edit=lambda _node, instance: replace(instance, probe=plain(port=ports[instance.havip])))
    holders = {vip.key: protected(lab, vip) for vip in (one, two)}
    assert holders[one.key] is not holders[two.key]
    for key, holder in holders.items():
        answers = {node.name: ask(lab, node, ports[key]).answer for node in lab.nodes}
        assert answers == {node.name: Answer.UP if node is holder else Answer.RESET for node in lab.nodes}


def test_an_ipv6_address_is_probed_as_well(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(v6=True)
    prober = "fd77::100"
    declare(lab, vip, edit=probed(plain(sources=(parse_network(f"{prober}/128"),))))
    active = protected(lab, vip)
    assert ask(lab, active, PORT, source=prober).answer is Answer.UP
    for node in others(lab, active):
        assert refused_at_once(ask(lab, node, PORT, source=prober))


def test_a_failover_moves_the_answer_with_the_address(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(QUICK))
    active = protected(lab, vip)
    with Asking(lab, lab.nodes, PORT) as asking:
        before = now()
        active.pod().kill_keepalived()
        heir = lab.node(lab.observer.wait_one_holder(vip.address, but=active.number))
        said_state(heir, vip, State.ACTIVE)
        wait_until("the heir answers", lambda: any(one.answer is Answer.UP for one in asking.of(heir)))
    came = next(one.at for one in asking.of(heir) if one.answer is Answer.UP)
    went = next(one.at for one in asking.of(active) if one.at > before and one.answer is Answer.RESET)
    print(f"failover: refused after {(went - before) / 1e6:.0f} ms, answered after {(came - before) / 1e6:.0f} ms")
    assert not [one for node in lab.nodes for one in asking.of(node) if one.answer is Answer.SILENCE]
    assert copies(active) == []
    assert (came - before) / 1e6 < 1500


def test_the_tables_are_gone_with_the_keeper(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(plain()))
    active = protected(lab, vip)
    standby = others(lab, active)[0]
    assert TABLE in standby.network.run("nft", "list", "tables")
    stop_keeper(standby)
    assert TABLE not in standby.network.run("nft", "list", "tables")
    active.pod().running[Part.KEEPER].kill()
    assert TABLE not in active.network.run("nft", "list", "tables")
    assert refused_at_once(ask(lab, active, PORT))


def test_the_table_goes_with_the_last_probe_and_comes_back_with_the_next(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(plain()))
    active = protected(lab, vip)
    declare(lab, vip)
    assert TABLE not in active.network.run("nft", "list", "tables")
    declare(lab, vip, edit=probed(plain()))
    assert TABLE in active.network.run("nft", "list", "tables")
    assert settled(lab, vip) is active
    assert ask(lab, active, PORT).answer is Answer.UP


def test_a_node_that_does_not_forward_says_so(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(plain()))
    active = protected(lab, vip)
    standby = others(lab, active)[0]
    try:
        standby.network.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        report = standby.pod().wait_report("ForwardingOff", lambda report: bool(report.left_out))
        assert [(item.havip, item.reason) for item in report.left_out] == [(str(vip.key), "ForwardingOff")]
        assert ask(lab, standby, PORT, seconds=0.3).answer is Answer.SILENCE
    finally:
        standby.network.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    standby.pod().wait_report("nothing left out", lambda report: not report.left_out)
    assert refused_at_once(ask(lab, standby, PORT))


def test_a_thousand_half_open_connections_hold_nobody_up(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    nobody = parse_network("10.78.0.0/16")
    probe = plain(sources=(*SOURCES, nobody))
    declare(lab, vip, edit=probed(probe))
    active = protected(lab, vip)
    active.network.ip("route", "add", str(nobody), "via", client_address(lab))
    try:
        half_open(lab, active, PORT, 1000, network=nobody)
        slowest = max(ask(lab, active, PORT).took_ms for _ in range(20))
        half = active.network.run("ss", "-Htn", "state", "syn-recv").splitlines()
        print(f"{len(half)} half-open connections: a probe is answered within {slowest:.1f} ms")
        assert len(half) > 500
        assert slowest < 500
        assert settled(lab, vip) is active
    finally:
        active.network.ip("route", "delete", str(nobody))


# A planned switch


def moved(lab: Lab, vip: Vip, probe: Probe) -> Vip:
    """The order to switch to the node that was last."""
    order = (vip.preferred[-1], *vip.preferred[:-1])
    after = replace(vip, preferred=order)
    declare(lab, replace(after, published=vip.preferred), edit=probed(probe))
    declare(lab, after, edit=probed(probe))
    return after


def test_a_planned_switch_overlaps_in_order(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(preferred=("n1", "n2", "n3"))
    declare(lab, vip, edit=probed(QUICK))
    old, new = protected(lab, vip), lab.node("n3")
    with services(lab), Flow(lab, old, vip.address) as flow, Asking(lab, lab.nodes, PORT) as asking:
        with Following(old, vip) as followed:
            begun = now()
            moved(lab, vip, QUICK)
            said(old, vip, lambda item: item.state is State.DRAINING)
            copy = copies(old)
            said(old, vip, lambda item: item.reason == "FlowsEnding")
            said_state(new, vip, State.ACTIVE)
            said_state(old, vip, State.STANDBY)
            ended = now()
            wait_until("three states", lambda: len(followed.seen) == 3)
        wait_until("the flow is over", lambda: bool(flow.broken))
        for node in lab.nodes:
            asking.wait_asked(node, 20, after=ended)
    assert len(copy) == 1
    assert vip.address in copy[0]
    assert copies(old) == []
    came = next(one.at for one in asking.of(new) if one.answer is Answer.UP)
    withdrew = next(one.at for one in asking.of(old) if one.at > came and one.answer is Answer.RESET)
    print(
        f"both answer for {(withdrew - came) / 1e6:.0f} ms, a flow lives for {(flow.answered_at - came) / 1e6:.0f} ms"
        f" after the take-over, all over after {(ended - begun) / 1e6:.0f} ms"
    )
    assert [one.answer for one in asking.changes(old)] == [Answer.UP, Answer.RESET]
    assert [one.answer for one in asking.changes(new)] == [Answer.RESET, Answer.UP]
    assert [one.answer for one in asking.changes(lab.node("n2"))] == [Answer.RESET]
    assert 0.9 * BOTH_MS < (withdrew - came) / 1e6 < BOTH_MS + 500
    assert flow.answers == {old.name}
    assert (flow.answered_at - came) / 1e6 > 0.9 * DRAINED_MS
    assert flow.answered_at < ended + 600_000_000
    assert followed.seen == ["Active", "Draining", "Standby"]


class Following(Repeating):
    """Every state that the node reports for it, each change once."""

    def __init__(self, node: Node, vip: Vip) -> None:
        super().__init__(self._follow)
        self._node, self._vip = node, vip
        self.seen: list[str] = []

    def _follow(self) -> None:
        while not self._stop.wait(0.01):
            report = self._node.pod().vip(self._vip.key)
            if report is not None and self.seen[-1:] != [report.state.value]:
                self.seen.append(report.state.value)


def test_a_planned_switch_loses_nothing_where_the_balancer_picks_the_node(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(preferred=("n1", "n2", "n3"))
    declare(lab, vip, edit=probed(QUICK))
    old, new = protected(lab, vip), lab.node("n3")
    with services(lab), no_way_between_nodes(lab), Balancer(lab, vip.address, QUICK) as balancer:
        balancer.wait_up(old.number)
        balancer.wait_given(old, 100)
        moved(lab, vip, QUICK)
        balancer.wait_up(new.number)
        said_state(old, vip, State.STANDBY)
        balancer.wait_given(new, 100)
    print(f"new connections given to {balancer.given}, lost {balancer.lost}")
    assert min(balancer.given[node.number] for node in (old, new)) > 20
    assert balancer.lost == []


def test_without_overlap_the_same_switch_loses_connections(lab: Lab, new_vip: NewVip) -> None:
    """So that the one before can fail."""
    vip = new_vip(preferred=("n1", "n2", "n3"))
    declare(lab, vip, edit=probed(plain()))
    old, new = protected(lab, vip), lab.node("n3")
    with services(lab), no_way_between_nodes(lab), Balancer(lab, vip.address, QUICK) as balancer:
        balancer.wait_up(old.number)
        moved(lab, vip, plain())
        balancer.wait_up(new.number)
    assert balancer.lost != []


def test_sigterm_overlaps_before_the_keeper_ends(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(QUICK))
    old = protected(lab, vip)
    with (
        services(lab),
        no_way_between_nodes(lab),
        Flow(lab, old, vip.address) as flow,
        Balancer(lab, vip.address, QUICK) as balancer,
    ):
        balancer.wait_up(old.number)
        begun = now()
        code = stop_keeper(old)
        took = (now() - begun) / 1e6
        lived = (flow.answered_at - begun) / 1e6
        heir = lab.node(lab.observer.wait_one_holder(vip.address, but=old.number))
        balancer.wait_up(heir.number)
    print(f"SIGTERM: the keeper ended after {took:.0f} ms, the flow lived for {lived:.0f} ms, lost {balancer.lost}")
    assert code == 0
    assert 0.9 * DRAINED_MS < took < DRAINED_MS + 2000
    assert lived > 0.9 * DRAINED_MS
    assert balancer.lost == []
    assert copies(old) == []
    assert TABLE not in old.network.run("nft", "list", "tables")


def test_a_short_grace_period_costs_the_flows_first(lab: Lab, new_vip: NewVip) -> None:
    slow = replace(QUICK, overlap_flows_ms=60_000)
    vip, old = new_vip(preferred=("n1", "n2", "n3")), lab.node("n1")
    stop_keeper(old)
    old.pod().environment = {"HAVIP_GRACE_SECONDS": "2"}
    try:
        start_keeper(old)
        # While its keepalived comes up, others would be as far as it is.
        declare(lab, replace(vip, ineligible=frozenset({"n2", "n3"})), edit=probed(slow))
        said_state(old, vip, State.ACTIVE)
        declare(lab, vip, edit=probed(slow))
        assert protected(lab, vip) is old
        begun = now()
        assert stop_keeper(old) == 0
        took = (now() - begun) / 1e6
    finally:
        old.pod().environment = {}
    print(f"SIGTERM with 2 s of grace: the keeper ended after {took:.0f} ms")
    assert 1800 < took < 10_000
    assert copies(old) == []


def test_a_node_that_is_not_eligible_drains_and_is_out_then(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(QUICK))
    old = protected(lab, vip)
    with services(lab), Flow(lab, old, vip.address) as flow:
        declare(lab, replace(vip, ineligible=frozenset({old.name})), edit=probed(QUICK))
        said(old, vip, lambda item: item.state is State.DRAINING)
        report = said(old, vip, lambda item: item.state is State.FAULT)
        assert not flow.broken
    assert report.reason == "NotEligible"
    assert copies(old) == []


def test_a_havip_taken_from_the_active_node_alone_drains_there(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    documents = declare(lab, vip, edit=probed(QUICK))
    old = protected(lab, vip)
    gone = replace(documents[old.name], generation=documents[old.name].generation + 1000, instances=())
    tell(lab, {old.name: gone})
    said(old, vip, lambda item: item.state is State.DRAINING)
    old.pod().wait_report("nothing left", lambda report: report.instances == ())
    assert copies(old) == []
    assert TABLE not in old.network.run("nft", "list", "tables")


def test_a_havip_that_is_given_up_everywhere_is_gone_at_once(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    declare(lab, vip, edit=probed(QUICK))
    settled(lab, vip)
    out = {
        name: replace(document, instances=tuple(replace(one, peers=(), eligible=False) for one in document.instances))
        for name, document in elections(lab, vip, edit=probed(QUICK)).items()
    }
    begun = now()
    tell(lab, out)
    lab.observer.wait_holders(vip.address)
    assert (now() - begun) / 1e6 < DRAINED_MS
    assert [copies(node) for node in lab.nodes] == [[], [], []]


def test_the_new_node_is_not_disturbed_while_the_old_one_drains(lab: Lab, new_vip: NewVip) -> None:
    slow = replace(QUICK, overlap_flows_ms=2000)
    vip = new_vip(preferred=("n1", "n2", "n3"))
    declare(lab, vip, edit=probed(slow))
    old, new = protected(lab, vip), lab.node("n3")
    before = now()
    moved(lab, vip, slow)
    said(old, vip, lambda item: item.state is State.DRAINING)
    with arp_of(lab, old, vip) as arp:
        report = said_state(new, vip, State.ACTIVE)
        assert report.heard == ()
        said_state(old, vip, State.STANDBY)
    print(f"while it drained, the old node answered {sum('Reply' in line for line in arp)} ARP requests")
    assert [line for line in arp if "Reply" not in line] == []
    assert lab.observer.history().became_active(vip.address, Stretch(before, now())) == (new.number,)
    assert said_state(new, vip, State.ACTIVE).since == report.since
    assert settled(lab, vip) is new


def arp_of(lab: Lab, node: Node, vip: Vip) -> AbstractContextManager[list[str]]:
    """What that node says by ARP of the VIP being its own: answers, and announcements."""
    address = in_hex(vip.address)
    said_by_it = f"arp and ether src {node.port.mac} and arp[14:4]={address}"
    return captured(lab.fabric, "br0", f"{said_by_it} and (arp[6:2]=2 or arp[24:4]={address})")


def test_both_addresses_of_a_dual_stack_overlap(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(dual=True, preferred=("n1", "n2", "n3"))
    declare(lab, vip, edit=probed(QUICK))
    old, new = protected(lab, vip), lab.node("n3")
    with Asking(lab, (old, new), PORT) as asking:
        moved(lab, vip, QUICK)
        said(old, vip, lambda item: item.state is State.DRAINING)
        found = copies(old)
        said_state(old, vip, State.STANDBY)
        said_state(new, vip, State.ACTIVE)
        wait_until("the new node answers", lambda: asking.of(new)[-1].answer is Answer.UP)
    assert len(found) == 2
    assert [line for line in found if vip.addresses[1] in line and "deprecated" not in line] == []
    assert copies(old) == []
    assert [one.answer for one in asking.changes(old)] == [Answer.UP, Answer.RESET]


def test_a_draining_node_that_is_needed_again_is_whole_again(lab: Lab, new_vip: NewVip) -> None:
    slow = replace(QUICK, overlap_flows_ms=20_000)
    vip = new_vip(preferred=("n1", "n2", "n3"))
    declare(lab, vip, edit=probed(slow))
    old, new = protected(lab, vip), lab.node("n3")
    moved(lab, vip, slow)
    said(old, vip, lambda item: item.reason == "FlowsEnding")
    assert len(copies(old)) == 1
    for node in lab.nodes:
        if node is not old:
            node.pod().kill(Part.KEEPER)
    said_state(old, vip, State.ACTIVE)
    wait_until("it answers again", lambda: ask(lab, old, PORT).answer is Answer.UP)
    assert copies(old) == []
    assert not runs(new.pod())


def test_a_keeper_that_dies_while_it_drains_holds_nothing_for_long(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(preferred=("n1", "n2", "n3"))
    slow = replace(QUICK, overlap_flows_ms=2000)
    declare(lab, vip, edit=probed(slow))
    old = protected(lab, vip)
    moved(lab, vip, slow)
    said(old, vip, lambda item: item.state is State.DRAINING)
    old.pod().running[Part.KEEPER].kill()
    assert refused_at_once(ask(lab, old, PORT))
    assert len(copies(old)) == 1
    begun = now()
    wait_until("the copy is gone", lambda: copies(old) == [], seconds=15)
    print(f"the copy of a dead keeper was gone after {(now() - begun) / 1e6:.0f} ms")


def test_a_keeper_that_comes_back_removes_the_copy_it_left(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip(preferred=("n1", "n2", "n3"))
    slow = replace(QUICK, overlap_flows_ms=60_000)
    declare(lab, vip, edit=probed(slow))
    old = protected(lab, vip)
    moved(lab, vip, slow)
    said(old, vip, lambda item: item.state is State.DRAINING)
    old.pod().running[Part.KEEPER].kill()
    assert len(copies(old)) == 1
    start_keeper(old)
    said_state(old, vip, State.STANDBY)
    assert copies(old) == []

"""The same promises on this machine's own keepalived and haproxy, which are older than the images'.

A named subset: what differed between keepalived 2.2 and 2.3 in measurements, or would hurt most if it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from e2e.lab import Episode, Flavour, Kind, Lab, Vip
from havip.model.states import State

NewVip = Callable[..., Vip]


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Lab]:
    """In place of the lab of the other modules: with the host's programs."""
    with Lab(3, flavour=Flavour.HOST) as lab:
        lab.declare()
        lab.start()
        lab.wait_applied()
        yield lab


@pytest.fixture
def vip(lab: Lab, new_vip: NewVip) -> Vip:
    declared = new_vip(port=80)
    lab.declare(declared)
    lab.settled(declared, on=lab.node(1))
    return declared


def test_another_keepalived_than_the_images_runs_here(lab: Lab, vip: Vip) -> None:
    status = lab.node(1).pod().wait_applied()
    print(status.versions)
    assert not status.versions["keepalived"].startswith("2.3")


def test_power_off_is_survived(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "power-off") as seen:
        seen.before.power_off()
        seen.wait_moved()
    assert seen.outage_ms() <= 1500
    assert seen.two_holders.longest_ms <= 250


def test_a_killed_keepalived_leaves_no_address(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "SIGKILL of keepalived") as seen:
        seen.before.pod().kill_keepalived()
        seen.wait_moved()
        seen.before.pod().wait_report(
            "it is a standby", lambda r: any(i.havip == vip.key and i.state is State.STANDBY for i in r.instances)
        )
    assert seen.outage_ms() <= 1500
    assert seen.two_holders.longest_ms <= 250


def test_reloads_with_other_havips_disturb_nobody(lab: Lab, vip: Vip, new_vip: NewVip) -> None:
    others = [new_vip(preferred=("n2", "n3", "n1")), new_vip(v6=True), new_vip(dual=True)]
    with Episode(lab, vip, "three HAVips come and go") as seen:
        for others_now in (others[:1], others, others[1:], []):
            lab.declare(vip, *others_now)
            lab.wait_applied()
    assert seen.became_active == ()
    assert seen.lost == 0


def test_a_planned_switch_loses_nothing(lab: Lab, vip: Vip) -> None:
    with Episode(lab, vip, "planned switch") as seen:
        lab.switch(vip, "n2", "n1", "n3")
        assert seen.wait_moved() is lab.node(2)
    assert seen.outage_ms(Kind.ICMP, Kind.UDP, Kind.TCP) <= 100


def test_a_dual_stack_vip_moves_whole(lab: Lab, new_vip: NewVip) -> None:
    dual = new_vip(dual=True)
    lab.declare(dual)
    lab.settled(dual, on=lab.node(1))
    with Episode(lab, dual, "dual stack: power-off") as seen:
        seen.before.power_off()
        seen.wait_moved()
    assert seen.outage_ms() <= 1500

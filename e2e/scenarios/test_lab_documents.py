"""What the nodes are told: changed, contradicting, broken, refused by keepalived, or very much at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from e2e.lab import DEFAULT_TIMING, Episode, Kind, Lab, Part, Vip
from e2e.lab.declare import node_specs
from e2e.lab.faults import refusing_keepalived
from havip.model.states import State

NewVip = Callable[..., Vip]


def test_a_second_havip_with_the_same_address_is_left_out_by_name(lab: Lab, new_vip: NewVip) -> None:
    first, second = new_vip(name="a-first"), new_vip(name="b-second")
    second = replace(second, addresses=first.addresses)
    lab.declare(first)
    lab.settled(first, on=lab.node(1))
    with Episode(lab, first, "two HAVips with one address") as seen:
        lab.declare(first, second)
        for node in lab.nodes:
            status = node.pod().wait_status(
                "the second one is left out", lambda s: any(item.havip == str(second.key) for item in s.left_out)
            )
            print(node.name, *status.left_out)
    assert seen.became_active == ()
    assert seen.lost == 0


def test_changed_election_settings_of_a_class_lose_nothing(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    with Episode(lab, vip, "advert interval 100 -> 200 ms") as seen:
        lab.declare(vip, timing=replace(DEFAULT_TIMING, advert_interval_ms=200))
        for node in lab.nodes:
            node.pod().wait_applied()
    assert seen.became_active == ()
    assert seen.outage_ms() <= 100
    with Episode(lab, vip, "power-off at 200 ms") as seen:
        seen.before.power_off()
        seen.wait_moved()
    assert 300 <= seen.outage_ms() <= 3000


def test_a_broken_document_changes_nothing(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    pod = lab.node(1).pod()
    with Episode(lab, vip, "broken specs, then a good one") as seen:
        broken_ones: list[object] = [{"className": "lab"}, [], {"nonsense": "\n}"}, None]
        for broken in broken_ones:
            generation = pod.write_raw_spec(broken)
            status = pod.wait_status("it says what is wrong", lambda s: bool(s.error))
            assert status.applied_generation < generation
        lab.declare(vip)
        status = pod.wait_applied()
        assert not status.error
    assert seen.became_active == ()
    assert seen.lost == 0


def test_a_broken_instance_is_left_out_and_the_others_go_on(lab: Lab, new_vip: NewVip) -> None:
    vip, bad = new_vip(), new_vip(name="bad")
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    pod = lab.node(1).pod()
    spec = node_specs("lab", [node.member for node in lab.nodes], (vip, bad))["n1"].to_json()
    instances = spec["instances"]
    assert isinstance(instances, list)
    next(item for item in instances if item["havip"] == str(bad.key))["addresses"] = ["10.77.0.9\n}\nscript /bin/x"]
    with Episode(lab, vip, "one hostile instance beside a good one") as seen:
        pod.write_raw_spec(spec)
        status = pod.wait_status("it is left out", lambda s: any(item.havip == str(bad.key) for item in s.left_out))
    print(status.left_out)
    assert seen.became_active == ()
    assert seen.lost == 0


def test_an_election_document_that_is_not_json_keeps_the_last_good_one(lab: Lab, new_vip: NewVip) -> None:
    vip = new_vip()
    lab.declare(vip)
    lab.settled(vip, on=lab.node(1))
    pod = lab.node(1).pod()
    pod.kill(Part.AGENT)
    with Episode(lab, vip, "half an election document") as seen:
        pod.write_election('{"version": 1, "instances": [')
        pod.wait_report("the keeper says what is wrong", lambda report: bool(report.error))
    assert seen.became_active == ()
    assert seen.lost == 0


@pytest.fixture
def refusing(lab: Lab) -> Iterator[Lab]:
    """n1's keepalived can be told to refuse every file."""
    program, switch = refusing_keepalived(lab.folder)
    pod = lab.node(1).pod()
    pod.kill_all()
    pod.environment = {"KEEPALIVED": str(program)}
    pod.start()
    lab.wait_applied()
    yield lab
    switch.unlink(missing_ok=True)
    pod.kill_all()
    pod.environment = {}


def test_a_keepalived_that_refuses_the_file_goes_on_with_the_last_one(refusing: Lab, new_vip: NewVip) -> None:
    first, second = new_vip(), new_vip()
    refusing.declare(first)
    refusing.settled(first, on=refusing.node(1))
    switch = refusing.folder / "refuse"
    pod = refusing.node(1).pod()
    with Episode(refusing, first, "keepalived refuses the new file") as seen:
        switch.touch()
        refusing.declare(first, second)
        said = pod.wait_report(
            "it says that it was refused", lambda report: bool(report.error) or bool(report.left_out)
        )
        print(said.error, said.left_out)
        switch.unlink()
        refusing.declare(first, second)
        pod.wait_applied(seconds=20)
    assert seen.became_active == ()
    assert seen.lost == 0
    refusing.active(second)


@pytest.fixture(scope="module")
def one_node() -> Iterator[Lab]:
    with Lab(1) as lab:
        lab.declare()
        lab.start()
        yield lab


def test_a_class_of_one_node_serves_and_says_so(one_node: Lab, new_vip: NewVip) -> None:
    vip = new_vip(preferred=(), port=80)
    one_node.declare(vip)
    one_node.settled(vip)
    with one_node.client_of(vip) as client:
        client.wait_answered()
        print(*client.history().all_figures(), sep="\n")
    one_node.node(1).pod().wait_status("it is active", lambda s: [v.state for v in s.vips] == [State.ACTIVE])


def test_a_class_of_one_node_stops_at_once(one_node: Lab, new_vip: NewVip) -> None:
    """No peer can take over, so there is nothing to wait for, and nothing stays."""
    vip = new_vip(preferred=())
    one_node.declare(vip)
    one_node.settled(vip)
    pod = one_node.node(1).pod()
    pod.stop()
    assert one_node.node(1).addresses() == [ip for ip in one_node.node(1).addresses() if str(ip) != vip.address]
    pod.start()


def test_fifty_havips_move_off_a_dead_node_together(lab: Lab, new_vip: NewVip) -> None:
    turns = itertools.cycle([("n1", "n2", "n3"), ("n2", "n3", "n1"), ("n3", "n1", "n2")])
    vips = [new_vip(preferred=next(turns)) for _ in range(50)]
    lab.declare(*vips)
    for vip in vips:
        lab.settled(vip, on=lab.node(vip.preferred[0]), seconds=30)
    mine = [vip for vip in vips if vip.preferred[0] == "n1"]
    with lab.client_of(*mine, kinds=(Kind.ICMP,), spacing_ms={Kind.ICMP: 20.0}) as client:
        client.wait_answered()
        lab.node(1).power_off()
        moved_to = [lab.observer.wait_one_holder(vip.address, but=1) for vip in mine]
        client.wait_answered()
        outages = sorted(figures.outage_ms for figures in client.history().all_figures())
    second = sum(number == 2 for number in moved_to)
    print(f"50 HAVips, {len(mine)} moved, {second} to their second choice: {outages[0]:.0f} to {outages[-1]:.0f} ms")
    assert outages[0] > 0
    assert outages[-1] <= 2000

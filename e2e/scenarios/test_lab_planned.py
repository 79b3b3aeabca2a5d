"""The operator's planner decides, real nodes carry it out: joins, leaves, switches, blocked adverts, deletion."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from e2e.lab import Episode, Kind, Lab, Vip
from e2e.lab.faults import adverts_dropped, all_pairs
from e2e.lab.planning import LabOperator
from e2e.scenarios.expectations import DETECTED_MS, MOMENT_MS
from havip.model.keys import Key

BLOCKED_SECONDS = 5.0
DIRECT = (Kind.ICMP, Kind.UDP, Kind.TCP)
_names = itertools.count(1)


@pytest.fixture(scope="module")
def four_nodes() -> Iterator[Lab]:
    """Four nodes, of which a class has three at first."""
    with Lab(4) as lab:
        yield lab


@pytest.fixture
def operator(four_nodes: Lab) -> Iterator[LabOperator]:
    """An operator that starts from nothing, on nodes with nothing."""
    made = LabOperator(four_nodes, members=four_nodes.nodes[:3])
    made.run_until("every member has a HAVipNode", lambda: len(made.cluster.snapshot.node_objects) == 3)
    four_nodes.start()
    yield made
    for node in four_nodes.nodes:
        for pod in node.pods.values():
            pod.kill_all()
        node.pods.clear()
        node.clean_kernel()


def address() -> str:
    return f"10.77.0.{200 + next(_names)}"


def client_of(text: str) -> Vip:
    """What the measuring side needs to know of a HAVip that the operator allocates for."""
    return Vip((text,), 1)


def settled(operator: LabOperator, name: str, text: str, **spec: object) -> Key:
    key = operator.apply(name, text, **spec)
    operator.run_until_settled(key)
    return key


def test_a_havip_becomes_ready_on_its_preferred_node(operator: LabOperator) -> None:
    text = address()
    key = settled(operator, "web", text, nodes={"candidates": 3, "preferred": ["n2", "n1"]})
    seen = operator.havip(key)
    assert seen is not None
    assert seen.object.status is not None
    print(operator.conditions(key))
    assert operator.lab.active(client_of(text)).name == "n2"
    assert seen.object.status.active_node == "n2"


def test_where_adverts_do_not_pass_one_holds_within_five_seconds(operator: LabOperator) -> None:
    text = address()
    key = settled(operator, "web", text)
    observer = operator.lab.observer
    with adverts_dropped(operator.lab, *all_pairs(operator.lab.nodes)):
        observer.wait_holders(text, 1, 2, 3)
        began = time.monotonic()
        operator.run_until("one node holds it", lambda: len(observer.holders(text)) == 1, seconds=BLOCKED_SECONDS)
        print(f"one holder {time.monotonic() - began:.2f} s after all three held it")
        operator.run_until(
            "the operator says why",
            lambda: any(reason == "VrrpBlocked" for _, reason in operator.conditions(key).values()),
        )
        with Episode(operator.lab, client_of(text), "adverts blocked, one chosen", kinds=DIRECT) as seen:
            time.sleep(1)  # three detection times in which a second one would show
        assert seen.lost == 0
        assert seen.two_holders.total_ms == 0
    with Episode(operator.lab, client_of(text), "adverts pass again", kinds=DIRECT) as seen:
        operator.run_until_settled(key, seconds=60)
    assert seen.lost == 0
    assert observer.holders(text) == (seen.before.number,)


def test_a_node_joins_and_the_active_one_leaves_without_loss(operator: LabOperator) -> None:
    text = address()
    key = settled(operator, "web", text)
    lab = operator.lab
    first = lab.active(client_of(text))
    with Episode(lab, client_of(text), f"n4 joins, {first.name} leaves", kinds=DIRECT) as seen:
        operator.label(lab.node(4), member=True)
        operator.label(first, member=False)
        operator.run_until("n4 has a HAVipNode", lambda: "lab.n4" in operator.cluster.snapshot.node_objects)
        lab.node(4).pod().start()
        operator.run_until("it has moved", lambda: first.number not in lab.observer.holders(text), seconds=30)
        operator.run_until_settled(key)
        seen.wait_moved()
    assert seen.outage_ms() <= 100
    assert seen.two_holders.longest_ms <= MOMENT_MS
    assert text not in map(str, first.addresses())


def test_a_changed_preference_moves_it_without_loss(operator: LabOperator) -> None:
    text = address()
    key = settled(operator, "web", text, nodes={"candidates": 3, "preferred": ["n1", "n2"]})
    operator.lab.observer.wait_holders(text, 1)
    with Episode(operator.lab, client_of(text), "preference n1 -> n3", kinds=DIRECT) as seen:
        operator.apply("web", text, nodes={"candidates": 3, "preferred": ["n3", "n1"]})
        operator.run_until("n3 has it", lambda: operator.lab.observer.holders(text) == (3,))
        operator.run_until_settled(key)
    assert seen.outage_ms() <= 100
    assert seen.two_holders.longest_ms <= MOMENT_MS


def test_the_operator_does_not_undo_what_a_dead_node_made_necessary(operator: LabOperator) -> None:
    text = address()
    key = settled(operator, "web", text, nodes={"candidates": 3, "preferred": ["n1", "n2", "n3"]})
    lab = operator.lab
    lab.observer.wait_holders(text, 1)
    with Episode(lab, client_of(text), "power-off while the operator works", kinds=DIRECT) as seen:
        seen.before.power_off()
        began = time.monotonic()
        operator.run_until("it has moved", lambda: bool(lab.observer.holders(text)))
        after = seen.wait_moved()
        operator.set_ready(lab.node(1), ready=False)
        operator.run_until("six seconds of planning have passed", lambda: time.monotonic() - began > 6)
    assert seen.outage_ms() <= DETECTED_MS
    assert seen.two_holders.longest_ms <= MOMENT_MS
    assert lab.observer.holders(text) == (after.number,)
    lab.node(1).power_on()
    operator.set_ready(lab.node(1), ready=True)
    with Episode(lab, client_of(text), "the dead node is back", kinds=DIRECT) as seen:
        operator.run_until_settled(key)
    assert seen.lost == 0
    assert lab.observer.holders(text) == (after.number,)


def test_of_two_havips_with_one_address_the_older_one_has_it(operator: LabOperator) -> None:
    text = address()
    older = settled(operator, "older", text)
    with Episode(operator.lab, client_of(text), "a second HAVip wants the address", kinds=DIRECT) as seen:
        younger = operator.apply("younger", text)
        operator.run_until("it is refused", lambda: operator.reason(younger, "Ready") not in ("", "True"))
        print(operator.conditions(younger))
    assert seen.lost == 0
    assert operator.reason(older, "Ready") == "True"
    assert str(younger) not in str([pod.status() for node in operator.lab.nodes for pod in node.pods.values()])


def test_a_deleted_havip_leaves_no_address(operator: LabOperator) -> None:
    text = address()
    key = settled(operator, "web", text)
    operator.delete(key)
    operator.run_until("the HAVip is gone", lambda: operator.havip(key) is None)
    assert operator.lab.observer.holders(text) == ()
    for node in operator.lab.nodes[:3]:
        node.pod().wait_applied()
        assert not node.pod().wait_applied().vips

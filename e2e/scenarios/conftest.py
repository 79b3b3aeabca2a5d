"""The labs that scenarios run in, one per module, and what is shown of them when a scenario fails.

A scenario gets HAVips nobody had before (address and VRID), so that nothing of the one before it can help or hurt it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from e2e.lab import Lab, Part, Vip
from e2e.scenarios.keepers import heal_keepers, start_keeper

_LABS = pytest.StashKey[Lab]()
_numbers = itertools.count(1)

NewVip = Callable[..., Vip]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name.startswith("test_lab_"):
            item.add_marker(pytest.mark.lab)
            # Several boots, elections and faults in one scenario; a busy machine takes its time.
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="module")
def three_nodes(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three nodes with running pods that hold nothing yet."""
    with Lab(3) as lab:
        run_with_nothing(lab, request.node)
        yield lab


@pytest.fixture
def lab(three_nodes: Lab) -> Iterator[Lab]:
    """The module's lab, healed after each scenario."""
    yield three_nodes
    heal(three_nodes)


@pytest.fixture(scope="module")
def keepers(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three nodes that run nothing but a keeper which was told nothing yet."""
    with Lab(3, servers=0) as lab:
        request.node.stash[_LABS] = lab
        for node in lab.nodes:
            start_keeper(node)
        for node in lab.nodes:  # a signal before its handlers stand is lost on the first process of a container
            node.pod().wait_report("the keeper is there", lambda _report: True)
        yield lab


@pytest.fixture
def healed_keepers(keepers: Lab) -> Iterator[Lab]:
    """The module's keepers, healed after each scenario."""
    yield keepers
    heal_keepers(keepers)


@pytest.fixture
def new_vip() -> NewVip:
    """Makes HAVips with a VRID and an address of their own."""
    return fresh_vip


def fresh_vip(**wanted: Any) -> Vip:
    """IPv4 on 10.77.0.<x>; `v6=True` IPv6 only, `dual=True` both."""
    number = next(_numbers) % 100 + 1
    four, six = f"10.77.0.{120 + number}", f"fd77::{1000 + number}"
    both, only_six = wanted.pop("dual", False), wanted.pop("v6", False)
    addresses = (four, six) if both else (six,) if only_six else (four,)
    return Vip(addresses, number, **{"preferred": ("n1", "n2", "n3"), **wanted})


def run_with_nothing(lab: Lab, module: pytest.Module) -> None:
    """The nodes' pods run and hold nothing yet; what they say is shown with a scenario of the module that fails."""
    module.stash[_LABS] = lab
    lab.declare()
    lab.start()
    lab.wait_applied()


def heal(lab: Lab) -> None:
    """Every node on, every cable in, every process running, the newest spec in force everywhere."""
    for node in lab.nodes:
        if not node.powered:
            node.power_on(start=False)
        elif node.number in lab.observer.out:
            node.link_up()
        for pod in node.pods.values():
            for part in (Part.AGENT, Part.HAPROXY, Part.KEEPER):
                if not pod.running:
                    pod.start()
                container = pod.running.get(part)
                if container is None or not container.running:
                    pod.start_part(part)
    lab.wait_applied()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed scenario shows what the processes of its lab said."""
    report = yield
    if report.failed and (module := item.getparent(pytest.Module)) is not None and _LABS in module.stash:
        report.sections.append(("the lab's processes", module.stash[_LABS].logs()))
    return report

"""The operator with the rights and under the policies that the chart gives its account, and not one more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import NODES, WEB, havip, klass, node, pool
from tests.apiserver.operating.stand import NAMESPACE, Operator, Stand, condition
from tests.apiserver.releasing import installed

from havip.controller.resources import CLASSES, CONFIG_MAPS, DAEMON_SETS, HAVIPS, NODE_OBJECTS
from havip.model.keys import Key

pytestmark = [pytest.mark.apiserver, pytest.mark.helm, pytest.mark.timeout(180)]

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:havip-operator"
GROUPS = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated")


@pytest.fixture
def release(stand: Stand) -> Iterator[Stand]:
    """The chart in the place of the stand's own small template."""
    stand.delete(CONFIG_MAPS, Key(NAMESPACE, "havip-node-template"))
    with installed(stand.control, NAMESPACE):
        yield stand


def as_its_account(stand: Stand) -> Operator:
    return stand.operator("one", KUBECONFIG=str(stand.control.kubeconfig(ACCOUNT, groups=GROUPS)))


def test_a_vip_comes_and_goes_with_the_charts_rights(release: Stand) -> None:
    with Agents(release.control, own_addresses((*NODES, "n4"))):
        operator = as_its_account(release)
        release.apply(pool(), havip(pool="web"))
        release.until_ready(WEB)
        release.until(DAEMON_SETS, Key(NAMESPACE, "havip-node-edge"), lambda body: body is not None)
        release.apply(node("n4"))
        release.until(NODE_OBJECTS, Key(NAMESPACE, "edge.n4"), lambda body: body is not None)
        release.client.call("DELETE", "/api/v1/nodes/n4")
        release.until_gone(NODE_OBJECTS, Key(NAMESPACE, "edge.n4"))
        release.delete(HAVIPS, WEB)
        release.until_gone(HAVIPS, WEB)
        release.until_gone(CONFIG_MAPS, Key(NAMESPACE, "shop.web"))
        release.delete(CLASSES, Key("", "edge"))
        release.until_gone(CLASSES, Key("", "edge"))
        release.until_gone(DAEMON_SETS, Key(NAMESPACE, "havip-node-edge"))
        troubles = [line for line in operator.log_lines() if line["level"] not in ("DEBUG", "INFO")]
        assert troubles == []


def test_its_events_are_written_with_the_charts_rights(release: Stand) -> None:
    as_its_account(release)
    release.apply(klass("narrow", addressRanges=["10.77.0.0/24"]), havip(className="narrow"))
    seen = release.until(HAVIPS, WEB, lambda body: condition(body, "Ready").startswith("False/"))
    assert seen is not None
    assert release.until_event(seen)["reason"] == condition(seen, "Ready").split("/")[1]

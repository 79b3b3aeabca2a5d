"""HAVipNode and pool documents keep their meaning across the wire and refuse what they do not know."""

from __future__ import annotations

from typing import Any

import pytest

from havip.model.keys import Key, node_object_name, pool_object_name
from havip.model.node import InterfaceChoice, InterfaceSource, NodeSpec, NodeStatus
from havip.model.pool import Pool, RealServer, parse_http_path
from havip.model.refusal import Refused
from havip.model.report import InstanceReport, KeeperReport, left_out_from_json


def a_spec(**over: Any) -> dict[str, Any]:
    return {
        "className": "edge",
        "nodeName": "n1",
        "interface": {"name": "eth0"},
        "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
        "redundant": True,
        "instances": [
            {
                "havip": "shop/web",
                "virtualRouterId": 7,
                "priority": 199,
                "addresses": ["10.88.0.200", "fd00::200"],
                "sourceAddress": "10.88.0.11",
                "peers": [{"nodeName": "n2", "address": "10.88.0.12"}],
                "preferred": ["n2", "n1"],
                "frontends": [{"name": "http", "port": 80, "protocol": "TCP", "pool": "shop/web"}],
            }
        ],
        **over,
    }


def test_a_node_spec_survives_its_wire_form() -> None:
    spec, left_out = NodeSpec.from_json(a_spec())
    assert left_out == ()
    assert NodeSpec.from_json(spec.to_json()) == (spec, ())
    assert spec.assignments[0].frontends[0].pool == Key("shop", "web")


def test_an_assignment_that_is_not_understood_leaves_the_others() -> None:
    body = a_spec()
    body["instances"].append({"havip": "shop/api", "virtualRouterId": 999})
    spec, left_out = NodeSpec.from_json(body)
    assert len(spec.assignments) == 1
    assert left_out[0].havip == "shop/api"
    assert left_out[0].field == "instances[1].virtualRouterId"


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ({"name": "eth0"}, InterfaceSource.NAME),
        ({"fromDefaultRoute": {}}, InterfaceSource.DEFAULT_ROUTE),
        ({"fromAddressSubnet": {}}, InterfaceSource.ADDRESS_SUBNET),
    ],
)
def test_an_interface_is_chosen_in_exactly_one_way(value: dict[str, Any], source: InterfaceSource) -> None:
    choice = InterfaceChoice.from_json(value)
    assert choice.source is source
    assert choice.to_json() == value


@pytest.mark.parametrize(
    "value", [{}, {"name": "lo"}, {"name": "eth0", "fromDefaultRoute": {}}, {"x": {}}, None, "eth0"]
)
def test_an_interface_chosen_otherwise_is_refused(value: object) -> None:
    with pytest.raises(Refused):
        InterfaceChoice.from_json(value)


def test_a_status_survives_its_wire_form_and_carries_no_null() -> None:
    body: dict[str, Any] = {
        "appliedGeneration": 4,
        "error": "",
        "versions": {"keepalived": "2.3.3"},
        "interface": {"name": "eth0", "addresses": ["10.88.0.11/24"]},
        "vips": [
            {
                "havip": "shop/web",
                "virtualRouterId": 7,
                "state": "Active",
                "since": "2026-11-25T10:00:00.000Z",
                "reason": "Elected",
                "heard": [],
                "outageMilliseconds": 291,
            }
        ],
        "pools": [{"pool": "shop/web", "digest": "abc", "healthy": 1, "total": 2}],
        "leftOut": [{"havip": "shop/api", "reason": "PortTaken", "field": "frontends[http].port", "message": "80"}],
    }
    assert NodeStatus.from_json(body).to_json() == body
    vip = InstanceReport.from_json({**body["vips"][0], "outageMilliseconds": None})
    assert "outageMilliseconds" not in vip.to_json()


@pytest.mark.parametrize("reason", ["", "a b", "naïve", 'x"y', "A" * 65, "line\nbreak"])
def test_a_reason_that_no_condition_takes_is_replaced(reason: str) -> None:
    found = left_out_from_json({"havip": "shop/api", "reason": reason, "field": "", "message": "80"})
    assert found.reason == "LeftOut"


def test_a_keeper_report_survives_its_wire_form() -> None:
    report = KeeperReport(3, "", "2.3.3", keepalived_running=True, track_healthy=False)
    assert KeeperReport.from_json(report.to_json()) == report


def test_a_pool_survives_its_wire_form() -> None:
    body = {
        "version": 1,
        "pool": "shop/web",
        "engine": "HAProxy",
        "algorithm": "RoundRobin",
        "healthCheck": {
            "intervalMilliseconds": 1000,
            "timeoutMilliseconds": 500,
            "rise": 2,
            "fall": 3,
            "httpPath": "/healthz?full=1",
        },
        "servers": [{"address": "10.90.1.5", "port": 8080, "weight": 1}],
    }
    assert Pool.from_json(body).to_json() == body


@pytest.mark.parametrize("path", ["healthz", "/a b", "/\r\nX: y", '/"', "/" + "a" * 1024, "/a\\b", "/é", "", None])
def test_a_path_that_could_end_a_line_or_a_word_is_refused(path: object) -> None:
    with pytest.raises(Refused, match="healthz"):
        parse_http_path(path)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "web"])
def test_a_server_that_no_vip_may_open_to_clients_is_refused(address: str) -> None:
    with pytest.raises(Refused) as refused:
        RealServer.from_json({"address": address, "port": 80})
    assert refused.value.field == "address"


def test_names_of_what_we_make_say_whose_it_is() -> None:
    assert node_object_name("edge", "n1") == "edge.n1"
    assert pool_object_name(Key("shop", "web")) == "shop.web"


@pytest.mark.parametrize("text", ["web", "a/b/c", "Shop/web", "shop/web\n", "/web", "shop/", 7])
def test_what_is_not_a_key_is_refused(text: object) -> None:
    with pytest.raises(Refused):
        Key.parse(text)

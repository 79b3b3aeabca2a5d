"""The check that every request of these tests goes through refuses what it should."""

from __future__ import annotations

import json

import pytest
from e2e.clouds.service import Request
from tests.providers.huawei.documented import assert_documented, operations
from tests.providers.huawei.workbench import NET, PROJECT, SUB4

PORTS = f"/v1/{PROJECT}/ports"
ONE = f"{PORTS}/44444444-0000-4000-8000-000000000001"
SIGNED = {"authorization": "SDK-HMAC-SHA256 Access=x"}
GOOD = {
    "name": "havip-x",
    "network_id": NET,
    "device_owner": "neutron:VIP_PORT",
    "fixed_ips": [{"subnet_id": SUB4, "ip_address": "10.0.1.1"}],
}


def asked(method, path, body=None, **query):
    text = b"" if body is None else json.dumps({"port": body}).encode()
    assert_documented(Request(method, path, query, SIGNED, text))


def test_what_is_right_passes():
    asked("POST", PORTS, GOOD)
    asked("GET", PORTS, limit="500", fixed_ips="ip_address=10.0.1.1")
    asked("PUT", ONE, {"allowed_address_pairs": [{"ip_address": "1.1.1.1/0"}, {"ip_address": "10.1.1.1", "odd": 1}]})


@pytest.mark.parametrize(
    ("method", "path", "body", "query"),
    [
        ("PATCH", ONE, {}, {}),
        ("GET", "/v1/%7Bproject_id%7D/ports", None, {"limit": "1"}),
        ("GET", PORTS, None, {}),
        ("GET", PORTS, None, {"limit": "5000"}),
        ("GET", PORTS, None, {"limit": "1", "colour": "grey"}),
        ("GET", PORTS, None, {"limit": "1", "fixed_ips": "10.0.1.1"}),
        ("POST", PORTS, {**GOOD, "device_owner": ""}, {}),
        ("POST", PORTS, {**GOOD, "name": "a.b"}, {}),
        ("POST", PORTS, {**GOOD, "name": 7}, {}),
        ("POST", PORTS, {**GOOD, "colour": "grey"}, {}),
        ("POST", PORTS, {**GOOD, "allowed_address_pairs": [{"ip_address": "1.1.1.1/0"}]}, {}),
        ("PUT", ONE, {}, {}),
        ("PUT", ONE, {"security_groups": []}, {}),
        ("PUT", ONE, {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]}, {}),
        ("PUT", ONE, {"allowed_address_pairs": {"ip_address": "10.1.1.1"}}, {}),
    ],
)
def test_what_is_wrong_does_not(method, path, body, query):
    with pytest.raises((AssertionError, KeyError)):
        asked(method, path, body, **query)


def test_the_sdk_still_has_every_operation():
    assert {one.name for one in operations()} == {
        "ShowSubnet",
        "ListPorts",
        "ShowPort",
        "CreatePort",
        "UpdatePort",
        "DeletePort",
        "ListPublicips",
        "ShowPublicip",
        "UpdatePublicip",
    }

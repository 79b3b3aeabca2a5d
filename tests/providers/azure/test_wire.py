"""The check of requests can fail, and each of its parts does."""

from __future__ import annotations

import copy
import json

import pytest
from azure.mgmt.network import models
from e2e.clouds.service import Request
from tests.providers.azure.scene import reach
from tests.providers.azure.wire import problems


@pytest.fixture
def sent(bench):
    """The one request that wrote a load balancer."""
    here = bench()
    reach(here, here.wanted(1))
    return next(one.request for one in here.service.exchanges if one.request.method == "PUT")


def changed(request, **parts):
    values = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    return Request(**{**values, **parts})


def test_what_is_sent_has_no_problem(sent):
    assert list(problems(sent)) == []


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda rule: rule["properties"].update(frontendPort="443"), "is not int"),
        (lambda rule: rule["properties"].update(protocol="TCP"), "is not one of TransportProtocol"),
        (lambda rule: rule["properties"].pop("protocol"), "protocol: required"),
        (lambda rule: rule["properties"].update(enableFloatingIp=True), "no such field"),
        (lambda rule: rule["properties"].update(provisioningState="Succeeded"), "read-only"),
        (lambda rule: rule["properties"].update(enableFloatingIP=False), "no floating IP"),
        (lambda rule: rule["properties"].update(backendPort=1), "the port stays"),
        (lambda rule: rule["properties"]["probe"].update(id="/x/probes/other"), "which is not there"),
        (lambda rule: rule.update(name="havip-" + "x" * 80), "no name for Azure"),
    ],
)
def test_a_wrong_rule_is_seen(sent, edit, told):
    body = json.loads(sent.body)
    edit(next(one for one in body["properties"]["loadBalancingRules"] if one["name"].startswith("havip-")))
    found = []
    try:
        found += problems(changed(sent, body=json.dumps(body).encode()))
    except KeyError:  # a fact looked for what the model already missed
        found += of_the_model(body)
    assert [one for one in found if told in one], found


def of_the_model(body):
    from tests.providers.azure.wire import of_model

    return list(of_model(models.LoadBalancer, copy.deepcopy(body), ""))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"headers": {"authorization": "Bearer x", "content-type": "application/json"}}, "none of"),
        ({"query": {}}, "api-version"),
        ({"path": "/subscriptions/s/other"}, "nobody said"),
        ({"method": "PATCH"}, "nobody said"),
    ],
)
def test_a_wrong_request_is_seen(sent, parts, told):
    assert [one for one in problems(changed(sent, **parts)) if told in one]

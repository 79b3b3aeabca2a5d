"""Each error body of the cloud becomes one of our failures, says what is missing, and nothing of the SDK hangs on."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from e2e.clouds.huawei import Guesses
from e2e.clouds.service import Answer, Service, Trouble
from tests.providers.huawei.workbench import ACCESS_KEY, NET, PROJECT, SECRET_KEY, SUB4, running

from havip.provider import Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable
from havip_providers.huawei import client as under_test
from havip_providers.huawei.client import Client
from havip_providers.huawei.config import Access, Key

PORT = "44444444-0000-4000-8000-000000000001"
ACCESS = Access("eu-west-101", PROJECT, None, Key(ACCESS_KEY, SECRET_KEY))
CALLS = {
    "list": lambda client: client.network_ports(NET),
    "create": lambda client: client.create_vip(
        network=NET, subnet=SUB4, address=ip_address("10.0.1.1"), name="n", bound=["10.0.0.11"]
    ),
    "update": lambda client: client.put_pairs(PORT, []),
    "delete": lambda client: client.delete_port(PORT),
    "bind": lambda client: client.bind_eip(PORT, PORT),
}


class Answering:
    """A cloud that answers everything with one thing."""

    def __init__(self, status, body, headers=None):
        text = body if isinstance(body, str) else json.dumps(body)
        self.answered = Answer(status, text.encode(), {"Content-Type": "application/json", **(headers or {})})

    def reads(self, request):
        return request.method == "GET"

    def answer(self, request, trouble):
        return self.answered


@contextmanager
def calling(status, body, headers=None):
    service = Service(Answering(status, body, headers))
    with service.serving():
        client = Client(Access(ACCESS.region, ACCESS.project, service.endpoint, ACCESS.key))
        try:
            yield client
        finally:
            client.close()
        assert len(service.exchanges) == 1, "the SDK repeated a call"


def failure_of(call, status, body, headers=None):
    with calling(status, body, headers) as client, pytest.raises(Exception) as failed:
        CALLS[call](client)
    assert failed.value.__context__ is None
    assert failed.value.__cause__ is None
    return failed.value


VPC = {"code": "VPC.0701", "message": "IP is in use"}
NEUTRON = {"NeutronError": {"type": "IpAddressAlreadyAllocated", "message": "already allocated", "detail": ""}}
THROTTLED = {"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"}


@pytest.mark.parametrize(
    ("call", "status", "body", "kind", "says"),
    [
        ("create", 409, VPC, Conflict, "VPC.0701"),
        ("create", 409, NEUTRON, Conflict, "IpAddressAlreadyAllocated"),
        (
            "create",
            409,
            {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded"}},
            Invalid,
            "Quota exceeded",
        ),
        ("create", 409, {"code": "VPC.2504", "message": "Quota exceeded for resources"}, Invalid, "Quota"),
        ("create", 400, {"code": "VPC.2500", "message": "invalid port parameter"}, Invalid, "invalid port parameter"),
        ("update", 409, {"code": "VPC.2511", "message": "in use"}, Conflict, "VPC.2511"),
        ("update", 404, {"code": "VPC.2503", "message": "no port"}, NotFound, "VPC.2503"),
        ("update", 404, {"NeutronError": {"type": "PortNotFound", "message": "no port"}}, NotFound, "PortNotFound"),
        ("list", 401, {"error_code": "APIGW.0301", "error_msg": "verify aksk signature fail"}, Forbidden, "APIGW.0301"),
        ("list", 401, {"code": "VPC.0005", "message": "token expired"}, Forbidden, "not accepted"),
        ("list", 403, {"code": "VPC.2701", "message": "no authority"}, Forbidden, "vpc:ports:get"),
        ("create", 403, {"code": "VPC.2201", "message": "no authority"}, Forbidden, "vpc:ports:create"),
        ("bind", 403, {"code": "VPC.0010", "message": "no authority"}, Forbidden, "vpc:publicIps:update"),
        ("bind", 403, {"error_code": "1", "error_msg": "Policy doesn't allow eip:x:y to"}, Forbidden, "lack eip:x:y"),
        ("create", 429, THROTTLED, Throttled, "too many calls"),
        ("list", 429, THROTTLED, Throttled, "too many calls"),
        ("update", 429, "", Throttled, "too many calls"),
        ("list", 500, "", Unavailable, "500"),
        ("create", 503, {"error_code": "APIGW.9999", "error_msg": "x"}, Unavailable, "APIGW.9999"),
        ("list", 200, "<html>", Unavailable, "cannot be read"),
        ("list", 200, {"ports": [{"id": "x"}]}, Unavailable, "cannot be read"),
        ("list", 200, "", Unavailable, "cannot be read"),
    ],
)
def test_each_error_is_one_of_ours(call, status, body, kind, says):
    failed = failure_of(call, status, body)
    assert type(failed) is kind
    assert says in str(failed)


@pytest.mark.parametrize("call", ["list", "create", "update", "delete", "bind"])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "30"}])
def test_throttled_it_says_how_long_although_the_sdk_does_not_and_does_not_sleep(call, headers):
    began = time.monotonic()
    failed = failure_of(call, 429, THROTTLED, headers)
    assert failed.wait == under_test.THROTTLED_WAIT
    assert time.monotonic() - began < 5


def test_a_missing_permission_is_named_as_the_cloud_names_it_where_it_does():
    failed = failure_of("create", 403, {"error_code": "VPC.0010", "error_msg": "Policy doesn't allow vpc:ports:list"})
    assert failed.permission == "vpc:ports:list"


def test_wrong_values_name_our_field():
    assert failure_of("create", 400, {"code": "VPC.2500", "message": "x"}).field == "spec.addresses"
    assert failure_of("bind", 400, {"code": "VPC.0501", "message": "x"}).field == "spec.publicIp"


def test_a_key_in_the_gateways_words_is_hidden():
    said = {"error_code": "APIGW.0301", "error_msg": f"get secretKey failed, ak:{ACCESS_KEY}, sk {SECRET_KEY}"}
    failed = failure_of("list", 401, said)
    assert ACCESS_KEY not in repr(failed)
    assert SECRET_KEY not in repr(failed)
    assert "(hidden)" in str(failed)


def test_gone_is_gone():
    with calling(404, {"code": "VPC.2503", "message": "no port"}) as client:
        client.delete_port(PORT)
    with calling(404, {"code": "VPC.2503", "message": "no port"}) as client:
        assert client.port(PORT) is None
    with calling(404, {"code": "VPC.0504", "message": "no EIP"}) as client:
        assert client.eip(PORT) is None


def test_nobody_there_is_unavailable_and_nothing_is_printed(capfd):
    client = Client(Access("eu-west-101", PROJECT, "http://127.0.0.1:9", ACCESS.key))
    with pytest.raises(Unavailable, match="no answer"):
        client.network_ports(NET)
    client.close()
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch):
    assert sum(under_test.TIMEOUT) * 3 < 20  # three calls to a change
    monkeypatch.setattr(under_test, "TIMEOUT", (0.5, 0.2))
    with running() as bench:
        bench.service.fail(Trouble.SLOW)
        cloud = bench.connect()
        with pytest.raises(Unavailable, match="no answer"):
            cloud.observe(bench.provider.adjust(bench.wanted(1)))
        cloud.close()


def test_a_listing_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(under_test, "_PAGES", 3)
    with running() as bench:
        client = Client(Access("eu-west-101", PROJECT, bench.service.endpoint, ACCESS.key), page=1)
        with pytest.raises(Unavailable, match="does not come to an end"):
            client.network_ports(NET)
        client.close()


def test_pages_are_put_together():
    with running() as bench:
        whole = Client(Access("eu-west-101", PROJECT, bench.service.endpoint, ACCESS.key))
        paged = Client(Access("eu-west-101", PROJECT, bench.service.endpoint, ACCESS.key), page=2)
        assert paged.network_ports(NET) == whole.network_ports(NET)
        assert len(paged.network_ports(NET)) > 2
        assert paged.eips() == whole.eips()
        whole.close()
        paged.close()


def test_a_network_that_takes_no_cidr_says_so():
    with running(Guesses(takes_any_network=False)) as bench, pytest.raises(Invalid, match="does not support CIDR"):
        bench.reach(bench.wanted((bench.vip(0),)))


def test_a_full_quota_says_so_whatever_the_shape():
    for neutron in (False, True):
        with running(Guesses(neutron_errors=neutron, ports=3)) as bench, pytest.raises(Invalid, match="Quota exceeded"):
            bench.reach(bench.wanted((bench.vip(0),)))


def test_more_pairs_than_a_port_takes_are_refused_in_the_clouds_words():
    with running(Guesses(pairs=2)) as bench, pytest.raises(Invalid, match="maximum amount of allowed address pairs"):
        bench.reach(bench.wanted((bench.vip(2),)))

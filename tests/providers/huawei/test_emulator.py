"""What the emulated cloud refuses, in both of its dialects, and what its network lets pass; asked by the real SDK."""

from __future__ import annotations

import json
from ipaddress import ip_address

import huaweicloudsdkvpc.v2 as vpc
import pytest
from e2e.clouds.huawei import Guesses, Vip
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from tests.providers.huawei.workbench import (
    ACCESS_KEY,
    FREE_EIP,
    NET,
    PROJECT,
    SECRET_KEY,
    SUB4,
    TAKEN_EIP,
    HuaweiWorkbench,
    running,
)

VIP = ip_address("10.0.1.1")


@pytest.fixture
def bench():
    bench = HuaweiWorkbench()
    with bench.service.serving():
        yield bench


@pytest.fixture
def sdk(bench):
    client = asked(bench)
    yield client
    client.close()


def asked(bench, key=ACCESS_KEY, project=PROJECT):
    credentials = BasicCredentials(key, SECRET_KEY, project)
    return vpc.VpcClient.new_builder().with_credentials(credentials).with_endpoint(bench.service.endpoint).build()


def refused(call):
    with pytest.raises(ClientRequestException) as error:
        call()
    return error.value.status_code, error.value.error_code, error.value.error_msg


def create(sdk, **option):
    given = {
        "network_id": NET,
        "device_owner": "neutron:VIP_PORT",
        "fixed_ips": [vpc.FixedIp(subnet_id=SUB4, ip_address="10.0.1.1")],
    }
    body = vpc.CreatePortRequestBody(port=vpc.CreatePortOption(**{**given, **option}))
    return sdk.create_port(vpc.CreatePortRequest(body=body)).port


def update(sdk, port, **option):
    body = vpc.UpdatePortRequestBody(port=vpc.UpdatePortOption(**option))
    return sdk.update_port(vpc.UpdatePortRequest(port_id=port, body=body)).port


def pairs(*addresses):
    return [vpc.AllowedAddressPair(ip_address=one) for one in addresses]


def test_an_address_is_given_once(sdk):
    create(sdk)
    assert refused(lambda: create(sdk))[:2] == (409, "VPC.0701")


def test_every_address_is_not_written_with_zeros(sdk, bench):
    for text in ("0.0.0.0/0", "0.0.0.0"):
        assert refused(lambda text=text: update(sdk, bench.nics["n1"], allowed_address_pairs=pairs(text)))[0] == 400
    update(sdk, bench.nics["n1"], allowed_address_pairs=pairs("1.1.1.1/0"))


def test_a_list_of_pairs_is_replaced(sdk, bench):
    update(sdk, bench.nics["n1"], allowed_address_pairs=pairs("10.5.0.1", "10.5.0.2"))
    update(sdk, bench.nics["n1"], allowed_address_pairs=pairs("10.5.0.3"))
    assert bench.pairs("n1") == [{"ip_address": "10.5.0.3"}]


def test_a_port_takes_ten_pairs(sdk, bench):
    many = pairs(*(f"10.5.0.{number}" for number in range(1, 12)))
    assert refused(lambda: update(sdk, bench.nics["n1"], allowed_address_pairs=many))[0] == 400


@pytest.mark.parametrize("wrong", [{"device_owner": "compute:me"}, {"name": "a.b"}, {"network_id": "nowhere"}])
def test_what_cannot_be_created_is_refused(sdk, wrong):
    assert refused(lambda: create(sdk, **wrong))[0] in (400, 404)


def test_only_ports_of_nobody_are_deleted_and_none_with_a_public_ip(sdk, bench):
    def delete(port):
        sdk.delete_port(vpc.DeletePortRequest(port_id=port))

    assert refused(lambda: delete(bench.nics["n1"]))[:2] == (409, "VPC.2511")
    assert refused(lambda: delete(bench.foreign_vip))[:2] == (409, "VPC.2511")
    bench.store.bind_eip(TAKEN_EIP, "")
    delete(bench.foreign_vip)
    assert refused(lambda: delete(bench.foreign_vip))[0] == 404


def test_both_paths_lead_to_one_store_and_speak_their_own_dialect(sdk, bench):
    port = create(sdk)
    body = vpc.NeutronUpdatePortRequestBody(port=vpc.NeutronUpdatePortOption(name="renamed"))
    sdk.neutron_update_port(vpc.NeutronUpdatePortRequest(port_id=port.id, body=body))
    assert sdk.show_port(vpc.ShowPortRequest(port_id=port.id)).port.name == "renamed"
    missing = port.id.replace(port.id[:8], "00000000")
    assert refused(lambda: sdk.show_port(vpc.ShowPortRequest(port_id=missing)))[1] == "VPC.2503"
    _, code, text = refused(lambda: sdk.neutron_show_port(vpc.NeutronShowPortRequest(port_id=missing)))
    assert (code, json.loads(text)["NeutronError"]["type"]) == ("404", "PortNotFound")


def test_who_is_not_known_or_in_another_project_gets_nothing(bench):
    stranger, neighbour = asked(bench, key="STRANGER"), asked(bench, project="f" * 32)
    ports = vpc.ListPortsRequest(limit=1)
    assert refused(lambda: stranger.list_ports(ports))[:2] == (401, "APIGW.0301")
    assert refused(lambda: neighbour.list_ports(ports))[:2] == (403, "VPC.0010")
    stranger.close()
    neighbour.close()


def test_pages_are_as_long_as_asked_and_no_longer_than_allowed(sdk, bench):
    first = sdk.list_ports(vpc.ListPortsRequest(limit=3)).ports
    second = sdk.list_ports(vpc.ListPortsRequest(limit=3, marker=first[-1].id)).ports
    assert len({one.id for one in (*first, *second)}) == 6
    assert refused(lambda: sdk.list_ports(vpc.ListPortsRequest(limit=2001)))[0] == 400


# -- what the network lets pass ---------------------------------------------------------------------------------


def test_before_the_check_is_off_only_the_holder_reaches_the_vip_and_afterwards_every_candidate(bench):
    wanted = bench.wanted((bench.vip(2),))  # n3 and n1, whose checks are on
    changes = bench.plan(wanted).changes
    cloud = bench.connect()
    cloud.apply(changes[0])
    [address] = bench.vip(2).addresses
    for name in ("n1", "n3"):
        assert not bench.store.may_enter(bench.nics[name], address)
        assert not bench.store.may_leave(bench.nics[name], address)
        assert not bench.store.claim(bench.nics[name], address)
    for change in changes[1:]:
        cloud.apply(change)
    cloud.close()
    for name in ("n1", "n3"):
        assert bench.store.may_enter(bench.nics[name], address)
        assert bench.store.may_leave(bench.nics[name], address)
        assert bench.store.claim(bench.nics[name], address)
        assert bench.store.holder(address) == bench.nics[name]


def test_who_is_not_bound_announces_in_vain(bench):
    bench.reach(bench.wanted((bench.vip(2),)))
    [address] = bench.vip(2).addresses
    assert bench.store.claim(bench.nics["n1"], address)
    assert not bench.store.claim(bench.nics["n2"], address), "its check is off, and still it is not bound"
    assert bench.store.holder(address) == bench.nics["n1"]
    bench.reach(bench.wanted((bench.vip(2, candidates=("n3", "n2")),)))
    assert bench.store.holder(address) is None


def test_a_public_address_leads_to_the_virtual_ip(bench):
    bench.reach(bench.wanted((bench.vip(1),)))
    [address] = bench.vip(1).addresses
    assert bench.store.inside("203.0.113.1") == address
    [vip] = [one for one in bench.store.vips() if one.address == address]
    bound = frozenset(map(ip_address, ("10.0.0.12", "10.0.0.13")))
    assert vip == Vip(vip.id, address, vip.name, bound, "203.0.113.1")
    bench.reach(bench.wanted(()))
    assert bench.store.inside("203.0.113.1") is None


def test_the_interfaces_are_told_apart_from_virtual_ips(bench):
    nics = {nic.id: nic for nic in bench.store.nics()}
    assert nics[bench.nics["n2"]].unchecked
    assert nics[bench.nics["n1"]].server == "server-1"
    assert bench.foreign_vip not in nics


@pytest.mark.parametrize("lifts", [False, True])
def test_whether_being_bound_is_enough_is_a_guess(lifts):
    with running(Guesses(binding_lifts_check=lifts)) as bench:
        wanted = bench.wanted((bench.vip(2),))
        cloud = bench.connect()
        cloud.apply(bench.plan(wanted).changes[0])
        cloud.close()
        assert bench.store.may_enter(bench.nics["n1"], bench.vip(2).addresses[0]) is lifts


def test_a_public_ip_is_bound_once(bench):
    with pytest.raises(Exception, match="has a public IP"):
        bench.store.bind_eip(FREE_EIP, bench.foreign_vip)
    with pytest.raises(Exception, match="bound already"):
        bench.store.bind_eip(TAKEN_EIP, bench.nics["n1"])

"""The emulated Azure: it refuses what Azure refuses, and each of its guesses has two sides."""

from __future__ import annotations

import copy
import json

import pytest
from e2e.clouds.azure import AzureCloud, Backend, Guesses
from e2e.clouds.service import Request
from tests.providers.azure.scene import BALANCER, TOKEN, address_of, network, reach, vip, wanted_of

VERSION = {"api-version": "2026-03-01"}


@pytest.fixture
def cloud():
    return network(AzureCloud(tokens=[TOKEN]))


def ask(cloud, method, path, body=None, *, query=VERSION, **headers):
    given = {"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1:1"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = json.dumps(body).encode() if body is not None else b""
    answer = cloud.answer(Request(method, path, query, given, sent), None)
    return answer.status, json.loads(answer.body or b"{}"), answer.headers


def code(answer):
    return answer[0], answer[1]["error"]["code"]


def balancer_of(cloud):
    return ask(cloud, "GET", cloud.id("loadBalancers", BALANCER))[1]


# -- the resource manager -------------------------------------------------------------------------------------------


def test_what_is_asked_wrongly_is_refused(cloud):
    home = cloud.id("loadBalancers", BALANCER)
    assert code(ask(cloud, "GET", home, query={})) == (400, "MissingApiVersionParameter")
    assert code(ask(cloud, "GET", home, authorization="Bearer old")) == (401, "InvalidAuthenticationToken")
    assert code(ask(cloud, "GET", home.replace("/rg1/", "/rg9/"))) == (404, "ResourceGroupNotFound")
    assert code(ask(cloud, "GET", home + "x")) == (404, "ResourceNotFound")
    assert code(ask(cloud, "GET", home.replace("loadBalancers", "loadBalancer"))) == (404, "InvalidResourceType")
    assert code(ask(cloud, "PUT", home, [])) == (400, "InvalidRequestContent")


def test_a_segments_case_does_not_matter(cloud):
    status, body, _ = ask(cloud, "GET", cloud.id("loadBalancers", BALANCER).replace("resourceGroups", "resourcegroups"))
    assert (status, body["name"]) == (200, BALANCER)


def test_a_balancers_children_have_ids_and_know_who_refers_to_them(cloud):
    inside = balancer_of(cloud)["properties"]
    home = cloud.id("loadBalancers", BALANCER)
    rule = {"id": f"{home}/loadBalancingRules/theirs"}
    for kind in ("frontendIPConfigurations", "backendAddressPools", "probes"):
        assert inside[kind][0]["id"] == f"{home}/{kind}/theirs"
        assert inside[kind][0]["properties"]["loadBalancingRules"] == [rule]
    members = inside["backendAddressPools"][0]["properties"]["backendIPConfigurations"]
    assert members == [{"id": f"{cloud.id('networkInterfaces', 'nic-n2')}/ipConfigurations/ipconfig1"}]


def test_a_write_has_an_operation_to_watch(cloud):
    cloud.polls = 1
    status, body, headers = ask(cloud, "PUT", cloud.id("loadBalancers", "new"), {"location": "westeurope"})
    assert (status, body["properties"]["provisioningState"]) == (201, "Succeeded")
    where = headers["Azure-AsyncOperation"].removeprefix("http://127.0.0.1:1").partition("?")[0]
    assert [ask(cloud, "GET", where)[1]["status"] for _ in range(2)] == ["InProgress", "Succeeded"]
    assert "Retry-After" not in headers


def test_tags_can_be_written_alone_and_are_replaced(cloud):
    home = cloud.id("networkInterfaces", "nic-n1")
    before = cloud.resource(home)
    assert ask(cloud, "PATCH", home, {"tags": {"a": "b"}})[1]["tags"] == {"a": "b"}
    assert ask(cloud, "PATCH", home, {"tags": {"c": "d"}})[1]["tags"] == {"c": "d"}
    ask(cloud, "PATCH", home, {"tags": {}})
    after = cloud.resource(home)
    assert {**after, "etag": ""} | {"properties": ""} == {**before, "etag": ""} | {"properties": ""}


def test_members_of_a_pool_are_not_written_at_the_pool(cloud):
    answer = ask(cloud, "PUT", f"{cloud.id('loadBalancers', BALANCER)}/backendAddressPools/theirs", {})
    assert code(answer) == (400, "NicBasedPoolCannotBeUpdated")


def test_deleting_what_is_not_there_is_no_fault(cloud):
    assert ask(cloud, "DELETE", cloud.id("loadBalancers", "none"))[0] == 204


def test_a_rules_health_is_what_the_probes_say(cloud):
    cloud.health = lambda address, port: (address, port) == (address_of("n2"), 80)
    status, _, headers = ask(cloud, "POST", f"{cloud.id('loadBalancers', BALANCER)}/loadBalancingRules/theirs/health")
    assert status == 202
    where = headers["Location"].removeprefix("http://127.0.0.1:1").partition("?")[0]
    found = ask(cloud, "GET", where)[1]
    assert (found["up"], found["down"]) == (1, 0)
    assert found["loadBalancerBackendAddresses"][0]["reason"] == "Up_Probe_Success"


# -- what a fabric asks ---------------------------------------------------------------------------------------------


def test_a_fabric_is_told_what_may_pass(bench):
    here = bench()
    reach(here, wanted_of(vip(0, candidates=("n2", "n3")), cloud_settings=here.settings()))
    rule = next(one for one in here.cloud.rules() if one.address == "10.1.0.100")
    assert (rule.protocol, rule.port, rule.backend_port, rule.floating) == ("Tcp", 443, 443, True)
    assert (rule.probe_port, rule.probe_interval, rule.probe_threshold) == (59999, 5, 1)
    assert rule.backends == (Backend(address_of("n2"), "nic-n2"), Backend(address_of("n3"), "nic-n3"))
    assert [here.cloud.forwards(address_of(node)) for node in ("n1", "n2", "n3")] == [True, True, True]
    assert not here.cloud.forwards("10.1.0.50")


def test_a_public_rules_address_is_the_public_one(bench):
    here = bench(public=True)
    reach(here, here.wanted(1))
    assert "20.0.0.100" in {one.address for one in here.cloud.rules()}


# -- what it refuses ------------------------------------------------------------------------------------------------


def child(body, kind, number=0):
    return body["properties"][kind][number]["properties"]


def again(body, kind, name, **over):
    """One more child like the first."""
    one = copy.deepcopy(body["properties"][kind][0])
    body["properties"][kind].append({**one, "name": name, "properties": {**one["properties"], **over}})


RULES = "loadBalancingRules"


@pytest.mark.parametrize(
    ("edit", "refusal"),
    [
        (lambda body: body.pop("location"), "LocationRequired"),
        (lambda body: body.update(sku={"name": "Basic"}), "CannotChangeSku"),
        (lambda body: child(body, "probes").update(intervalInSeconds=4), "InvalidParameterValue"),
        (lambda body: child(body, "probes").update(port=0), "InvalidParameterValue"),
        (lambda body: child(body, "probes").update(protocol="tcp"), "InvalidRequestFormat"),
        (lambda body: child(body, RULES).update(idleTimeoutInMinutes=3), "InvalidParameterValue"),
        (lambda body: child(body, RULES).update(frontendPort=0), "InvalidRequestFormat"),
        (lambda body: child(body, RULES).update(probe={"id": "/x"}), "InvalidResourceReference"),
        (lambda body: body["properties"].update(probes=[]), "InvalidResourceReference"),
        (lambda body: again(body, RULES, "theirs"), "SubresourceNameNotUnique"),
        (lambda body: again(body, RULES, "x" * 81), "InvalidResourceName"),
        (lambda body: again(body, RULES, "more"), "RulesUseSameFrontendPortProtocolAndIPConfig"),
        (lambda body: again(body, RULES, "more", frontendPort=81), "RulesUseSameBackendPortProtocolAndPool"),
        (
            lambda body: child(body, "frontendIPConfigurations").update(privateIPAddress="10.9.0.1"),
            "PrivateIPAddressNotInSubnet",
        ),
        (
            lambda body: child(body, "frontendIPConfigurations").update(privateIPAddress="10.1.0.3"),
            "PrivateIPAddressInReservedRange",
        ),
        (
            lambda body: child(body, "frontendIPConfigurations").update(privateIPAddress="10.1.0.50"),
            "PrivateIPAddressIsAllocated",
        ),
        (lambda body: child(body, "frontendIPConfigurations").update(subnet={"id": "/x"}), "InvalidResourceReference"),
        (lambda body: child(body, "frontendIPConfigurations").pop("subnet"), "InvalidRequestFormat"),
    ],
)
def test_a_balancer_that_azure_would_not_take(cloud, edit, refusal):
    body = balancer_of(cloud)
    edit(body)
    assert code(ask(cloud, "PUT", cloud.id("loadBalancers", BALANCER), body)) == (400, refusal)


def test_a_rule_with_floating_ip_may_share_a_port_behind(cloud):
    body = balancer_of(cloud)
    again(body, RULES, "more", frontendPort=81, enableFloatingIP=True)
    assert ask(cloud, "PUT", cloud.id("loadBalancers", BALANCER), body)[0] == 200


def test_an_interface_joins_no_pool_that_is_not_there(cloud):
    home = cloud.id("networkInterfaces", "nic-n1")
    body = cloud.resource(home)
    body["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = [
        {"id": f"{cloud.id('loadBalancers', BALANCER)}/backendAddressPools/none"}
    ]
    assert code(ask(cloud, "PUT", home, body)) == (400, "InvalidResourceReference")


def test_an_old_version_is_not_written_over(cloud):
    home = cloud.id("loadBalancers", BALANCER)
    body = balancer_of(cloud)
    assert ask(cloud, "PUT", home, body, if_match="*")[0] == 200
    status, error, _ = ask(cloud, "PUT", home, body, if_match=body["etag"])
    assert (status, error["error"]["details"][0]["code"]) == (412, "PreconditionFailedEtagMismatch")


# -- guesses, both ways ---------------------------------------------------------------------------------------------


def put(guesses, name, body, kind="loadBalancers", **headers):
    cloud = network(AzureCloud(tokens=[TOKEN], guesses=guesses))
    text = body(cloud)
    return cloud, ask(cloud, "PUT", cloud.id(kind, name), text, **headers)


@pytest.mark.parametrize(("guess", "status"), [(True, 412), (False, 200)])
def test_guess_a_put_that_is_for_new_ones_only(guess, status):
    _, answer = put(Guesses(if_none_match=guess), BALANCER, balancer_of, if_none_match="*")
    assert answer[0] == status


@pytest.mark.parametrize("guess", [True, False])
def test_guess_a_pool_with_members(guess):
    def without(cloud):
        body = balancer_of(cloud)
        body["properties"].update(backendAddressPools=[], loadBalancingRules=[])
        return body

    cloud, answer = put(Guesses(pool_with_members_stays=guess), BALANCER, without)
    assert answer[0] == (400 if guess else 200)
    config = cloud.resource(cloud.id("networkInterfaces", "nic-n2"))["properties"]["ipConfigurations"][0]
    assert ("loadBalancerBackendAddressPools" in config["properties"]) is guess


@pytest.mark.parametrize("guess", [True, False])
def test_guess_a_balancers_etag_and_its_members(guess):
    cloud = network(AzureCloud(tokens=[TOKEN], guesses=Guesses(etag_follows_members=guess)))
    before = balancer_of(cloud)["etag"]
    body = cloud.resource(cloud.id("networkInterfaces", "nic-n2"))
    body["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = []
    assert ask(cloud, "PUT", body["id"], body)[0] == 200
    assert (balancer_of(cloud)["etag"] != before) is guess


@pytest.mark.parametrize("guess", [True, False])
def test_guess_internal_and_public_front_ends(guess):
    def both(cloud):
        body = balancer_of(cloud)
        public = {"publicIPAddress": {"id": cloud.id("publicIPAddresses", "public-0")}}
        body["properties"]["frontendIPConfigurations"].append({"name": "public", "properties": public})
        return body

    _, answer = put(Guesses(mixed_front_ends=guess), BALANCER, both)
    assert answer[0] == (200 if guess else 400)


@pytest.mark.parametrize("guess", [True, False])
def test_guess_floating_ip_of_a_rule_that_is_there(guess):
    def floating(cloud):
        body = balancer_of(cloud)
        child(body, RULES)["enableFloatingIP"] = True
        return body

    _, answer = put(Guesses(floating_ip_is_fixed=guess), BALANCER, floating)
    assert answer[0] == (400 if guess else 200)


@pytest.mark.parametrize("guess", [True, False])
def test_guess_a_permission_for_what_is_referred_to(guess):
    cloud = network(AzureCloud(tokens=[TOKEN], guesses=Guesses(join_is_asked=guess)))
    cloud.denied.add("Microsoft.Network/virtualNetworks/subnets/join/action")
    answer = ask(cloud, "PUT", cloud.id("loadBalancers", BALANCER), balancer_of(cloud))
    assert answer[0] == (403 if guess else 200)


@pytest.mark.parametrize("guess", [True, False])
def test_guess_a_secondary_address_behind_floating_ip(guess):
    cloud = network(AzureCloud(tokens=[TOKEN], guesses=Guesses(secondary_floats=guess)))
    cloud._store.get(cloud.id("loadBalancers", BALANCER))["properties"][RULES][0]["properties"]["enableFloatingIP"] = (
        True
    )
    body = cloud.resource(cloud.id("networkInterfaces", "nic-n2"))
    body["properties"]["ipConfigurations"][0]["properties"]["primary"] = False
    assert ask(cloud, "PUT", body["id"], body)[0] == (200 if guess else 400)


@pytest.mark.parametrize("guess", [True, False])
def test_guess_defaults_are_written_back(guess):
    cloud = network(AzureCloud(tokens=[TOKEN], guesses=Guesses(writes_defaults=guess)))
    assert ("enableTcpReset" in child(balancer_of(cloud), RULES)) is guess


def others():
    names = ("if_none_match", "pool_with_members_stays", "etag_follows_members", "mixed_front_ends")
    names += ("floating_ip_is_fixed", "join_is_asked", "secondary_floats", "writes_defaults")
    return [Guesses(**{name: not getattr(Guesses(), name)}) for name in names]


@pytest.mark.parametrize("guesses", others(), ids=str)
@pytest.mark.parametrize("made", [False, True])
def test_the_provider_gets_there_whichever_way_a_guess_is_wrong(bench, guesses, made):
    here = bench(made=made, guesses=guesses, polls=1)
    before = here.everything()
    for wanted in (here.wanted(2), wanted_of(vip(0, candidates=("n3", "n1")), cloud_settings=here.settings())):
        reach(here, wanted)
    rule = next(one for one in here.cloud.rules() if one.address == "10.1.0.100")
    assert {one.address for one in rule.backends} == {address_of("n1"), address_of("n3")}
    reach(here, here.wanted(0))
    assert here.everything() == before

"""The real SDK between the provider and the cloud: what it sends, what it bears, and what it never shows."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from e2e.clouds.azure import Script
from e2e.clouds.service import Answer, Service, Trouble
from tests.providers.azure.scene import BALANCER, TOKEN, apply_all, plan_of, reach, settings

from havip.provider import (
    CloudFailed,
    Conflict,
    Credentials,
    Forbidden,
    Invalid,
    NotFound,
    Throttled,
    Unavailable,
)
from havip_providers.azure.provider import AzureProvider


def failure_of(bench, wanted=None):
    with pytest.raises(CloudFailed) as failed:
        reach(bench, wanted or bench.wanted(1))
    return failed.value


# -- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "kind", "wait"),
    [
        (Script.LOCKED, Throttled, 14),
        (Script.NOT_PROVISIONED, Throttled, None),
        (Script.BUSY, Throttled, None),
        (Script.SUPERSEDED, Conflict, None),
        (Script.FAILS_LATER, Unavailable, None),
    ],
)
def test_a_write_that_fails_passes_and_is_made_again(bench, script, kind, wait):
    here = bench()
    here.cloud.script(script)
    failed = failure_of(here)
    assert (type(failed), failed.wait, failed.again) == (kind, wait, True)
    reach(here, here.wanted(1))
    assert len(here.cloud.rules()) == 3


@pytest.mark.parametrize(
    ("trouble", "kind", "wait"),
    [
        (Trouble.THROTTLED, Throttled, 1),
        (Trouble.THROTTLED_SILENTLY, Throttled, None),
        (Trouble.UNAVAILABLE, Unavailable, None),
    ],
)
def test_a_read_that_fails_says_how_long_to_wait_if_the_cloud_does(bench, trouble, kind, wait):
    here = bench()
    here.service.fail(trouble)
    failed = failure_of(here)
    assert (type(failed), failed.wait) == (kind, wait)


def test_nothing_is_tried_twice_here(bench):
    """Whoever calls has the back-off; a second one below it would make a storm of it."""
    here = bench()
    here.service.fail_always(Trouble.THROTTLED_SILENTLY)
    failure_of(here)
    assert len(here.service.exchanges) == 1


def test_a_cloud_that_does_not_answer_is_given_up_at_once(bench):
    here = bench()
    wanted = here.wanted(1)
    nowhere = replace(wanted, settings=settings(endpoint="http://127.0.0.1:9"))
    began = time.monotonic()
    failed = failure_of(here, nowhere)
    assert isinstance(failed, Unavailable)
    assert time.monotonic() - began < 5


class Odd:
    """Something between us and the cloud that answers everything, and not what was asked."""

    def __init__(self, body):
        self.body = body

    def reads(self, request):
        return True

    def answer(self, request, trouble):
        return Answer(200, self.body, {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"[]", b'"hello"', b'{"value": 1}', b'{"value": [1]}'],
)
def test_an_answer_that_cannot_be_read_is_an_absence_that_passes(bench, body):
    wanted = bench().wanted(1)
    with Service(Odd(body)).serving() as odd:
        where = settings(endpoint=odd.endpoint, loadBalancer={"name": BALANCER})
        failed = failure_of(bench(), replace(wanted, settings=where))
    assert isinstance(failed, Unavailable)
    assert "cannot be read" in str(failed)
    assert failed.again


def test_an_operation_without_end_is_left(bench):
    here = bench(polls=10**6)
    here.provider = AzureProvider(poll_seconds=0.05, poll_limit=0.2)
    failed = failure_of(here)
    assert isinstance(failed, Unavailable)
    assert "still running" in str(failed)


def test_a_resource_group_that_is_not_there_is_named(bench):
    here = bench()
    failed = failure_of(here, replace(here.wanted(1), settings=settings(**here_at(here), nodeResourceGroup="nowhere")))
    assert isinstance(failed, NotFound)
    assert "nowhere" in str(failed)


def here_at(bench):
    return {"endpoint": bench.service.endpoint}


def test_what_the_cloud_refuses_is_of_a_field_of_ours(bench):
    """The subnet cannot be read, so the fault is found only by the cloud."""
    here = bench()
    here.deny("Microsoft.Network/virtualNetworks/subnets/read")
    here.cloud.add_interface("elsewhere", "10.1.0.100", settings().subnet_id, group="rg2")
    failed = failure_of(here)
    assert isinstance(failed, Invalid)
    assert failed.field == "spec.addresses"
    assert "10.1.0.100" in str(failed)


# -- other writers --------------------------------------------------------------------------------------------------


def test_another_writer_in_between_is_a_conflict_and_keeps_what_it_wrote(bench):
    here = bench()
    here.service.fail(Trouble.OVERTAKEN)
    assert isinstance(failure_of(here), Conflict)
    reach(here, here.wanted(1))
    there = here.cloud.resource(here.cloud.id("loadBalancers", BALANCER))
    assert list(there["tags"]) == ["written-by-another"]


def test_a_change_is_made_to_the_newest_text_and_not_to_the_one_that_was_planned_on(bench):
    here = bench()
    changes = plan_of(here, here.wanted(1)).changes
    home = here.cloud.id("networkInterfaces", "nic-n2")
    here.cloud._store.get(home)["tags"] = {"colour": "grey"}
    here.cloud._store.touch(home)
    apply_all(here, here.wanted(1), changes)
    there = here.cloud.resource(home)
    assert there["tags"]["colour"] == "grey"
    assert len(there["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"]) == 2


@pytest.mark.parametrize("times", range(1, 9))
def test_reads_that_lag_behind_lead_to_the_same_in_the_end(bench, times):
    """Also those that a change makes before it writes: its ETag is then an old one."""
    smooth, here = bench(), bench()
    for one in (smooth, here):
        reach(one, one.wanted(2))
        reach(one, one.wanted(1))
    reach(smooth, smooth.wanted(3))
    here.service.fail(Trouble.STALE, times=times)
    for _ in range(8):
        try:
            reach(here, here.wanted(3))
            break
        except CloudFailed as failed:
            assert failed.again
    assert here.everything() == smooth.everything()


def test_every_write_says_which_version_it_is_made_on(bench):
    here = bench(made=True)
    reach(here, here.wanted(2))
    reach(here, replace(here.wanted(2), vips=()))
    writes = [one.request for one in here.service.exchanges if one.request.method != "GET"]
    assert {one.method for one in writes} == {"PUT", "DELETE"}
    assert writes[0].headers["if-none-match"] == "*"
    assert all("if-match" in one.headers for one in writes[1:])


def test_fields_that_nobody_has_documented_survive(bench):
    here = bench()
    reach(here, here.wanted(2))
    interface = here.cloud.resource(here.cloud.id("networkInterfaces", "nic-n2"))
    assert interface["kind"] == "Regular"
    assert interface["properties"]["allowPort25Out"] is True
    balancer = here.cloud.resource(here.cloud.id("loadBalancers", BALANCER))["properties"]
    assert balancer["unknownFutureField"] == {"b": [2]}
    assert balancer["loadBalancingRules"][0]["properties"]["somethingNew"] == {"a": 1}


def test_ids_in_another_case_are_the_same(bench):
    here = bench()
    wanted = here.wanted(1)
    reach(here, wanted)
    upper = type(wanted.settings).model_validate(
        {**wanted.settings.model_dump(by_alias=True), "resourceGroup": "RG1", "nodeResourceGroup": "Rg1"}
    )
    assert plan_of(here, replace(wanted, settings=upper)).changes == ()


# -- credentials ----------------------------------------------------------------------------------------------------


def test_a_token_that_is_not_taken_is_no_matter_of_permissions(bench):
    here = bench()
    here.credentials = Credentials({"token": "an-old-secret-token"})
    failed = failure_of(here)
    assert isinstance(failed, Forbidden)
    assert failed.permission == ""
    assert "InvalidAuthenticationToken" in str(failed)
    assert "an-old-secret-token" not in str(failed) + repr(failed)


def test_a_new_secret_is_taken_with_the_next_connection(bench):
    here = bench()
    here.cloud.tokens = {"rotated"}
    failure_of(here)
    here.credentials = Credentials({"token": "rotated"})
    reach(here, here.wanted(1))


def test_nothing_secret_is_logged_or_shown(bench, caplog):
    here = bench()
    with caplog.at_level(logging.DEBUG):
        cloud = here.provider.connect(here.wanted(1), here.credentials)
        reach(here, here.wanted(1))
        here.service.fail(Trouble.UNAVAILABLE)
        failed = failure_of(here)
        here.deny("Microsoft.Network/loadBalancers/read")
        denied = failure_of(here)
    shown = [caplog.text, repr(cloud), repr(cloud._client), repr(vars(cloud._client))]
    for one in (failed, denied):
        assert one.__cause__ is None
        assert one.__context__ is None
        shown += [str(one), repr(one)]
    cloud.close()
    assert not [text for text in shown if TOKEN in text]


def test_a_wrong_client_secret_is_told_by_its_code_alone(monkeypatch, bench):
    from azure.core.exceptions import ClientAuthenticationError

    from havip_providers.azure import client

    def get_token(*_scopes, **_more):
        raise ClientAuthenticationError(
            "Authentication failed: AADSTS7000215: Invalid client secret hush-hush provided."
        )

    here = bench()
    monkeypatch.setattr(client._Given, "get_token", get_token)
    failed = failure_of(here)
    assert isinstance(failed, Forbidden)
    assert str(failed) == "read load balancer vips: Azure does not take the credentials (AADSTS7000215)"


@pytest.mark.parametrize(
    ("secret", "environment", "kind"),
    [
        ({"tenantId": "t", "clientId": "c", "clientSecret": "hush"}, {}, "ClientSecretCredential"),
        ({"tenantId": "t", "clientId": "c"}, {"AZURE_FEDERATED_TOKEN_FILE": "/x"}, "WorkloadIdentityCredential"),
        ({}, {}, "ManagedIdentityCredential"),
    ],
)
def test_each_identity_has_its_credential(secret, environment, kind, monkeypatch):
    from havip_providers.azure.client import _credential
    from havip_providers.azure.config import access

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = _credential(access(settings(), Credentials(secret), environment))
    assert type(found).__name__ == kind
    found.close()


def test_a_real_token_is_sent_with_tls_only(bench):
    here = bench()
    with pytest.raises(Invalid):
        here.provider.connect(here.wanted(1), Credentials({"tenantId": "t", "clientId": "c", "clientSecret": "hush"}))
    assert here.service.exchanges == []


# -- the SDK --------------------------------------------------------------------------------------------------------


def test_the_sdk_is_imported_when_a_class_connects_and_not_before():
    text = (
        "import sys; from havip_providers.azure.provider import provider; assert provider.name == 'Azure';"
        "assert not [one for one in sys.modules if one.split('.')[0] in ('azure', 'msal')]"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=30)

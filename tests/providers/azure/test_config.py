"""Where a class's identity comes from, and that nothing of it is ever shown."""

from __future__ import annotations

import pytest
from tests.providers.azure.scene import settings

from havip.provider import Credentials, Forbidden, Invalid, Owner, Wanted
from havip_providers.azure.config import (
    PUBLIC_ENDPOINT,
    ClientSecret,
    GivenToken,
    ManagedIdentity,
    WorkloadIdentity,
    access,
    settings_of,
)

FEDERATED = {"AZURE_FEDERATED_TOKEN_FILE": "/var/run/token"}
APPLICATION = {"tenantId": "tenant", "clientId": "client", "clientSecret": "hush-hush"}


@pytest.mark.parametrize(
    ("secret", "environment", "identity"),
    [
        (APPLICATION, FEDERATED, ClientSecret("tenant", "client", "hush-hush")),
        ({**APPLICATION, "clientSecret": " hush-hush\n"}, {}, ClientSecret("tenant", "client", "hush-hush")),
        ({"token": "hush-hush"}, FEDERATED, GivenToken("hush-hush")),
        ({}, FEDERATED, WorkloadIdentity()),
        ({"tenantId": "tenant", "clientId": "client"}, FEDERATED, WorkloadIdentity("tenant", "client")),
        ({}, {}, ManagedIdentity()),
        ({"clientId": "client"}, {}, ManagedIdentity("client")),
    ],
)
def test_the_identity_is_the_secrets_or_the_environments(secret, environment, identity):
    found = access(settings(), Credentials(secret), environment)
    assert found.identity == identity
    assert "hush-hush" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ({"clientSecret": "hush-hush"}, "lacks tenantId and clientId"),
        ({"clientSecret": "hush-hush", "tenantId": "tenant"}, "lacks clientId"),
        ({"clientsecret": "hush-hush"}, "must have the keys tenantId, clientId and clientSecret"),
        ({"tenantId": "tenant"}, "must have the keys"),
    ],
)
def test_a_secret_that_lacks_something_says_what(secret, told):
    with pytest.raises(Forbidden, match=told) as refused:
        access(settings(), Credentials(secret), FEDERATED)
    assert "hush-hush" not in str(refused.value)


def test_the_public_cloud_is_the_default_and_a_sovereign_one_has_its_own_scope():
    assert access(settings(), Credentials(), {}).scope == f"{PUBLIC_ENDPOINT}/.default"
    there = access(
        settings(endpoint="https://management.example.cn", authority="https://login.example.cn"), Credentials(), {}
    )
    assert (there.scope, there.authority) == ("https://management.example.cn/.default", "https://login.example.cn")


@pytest.mark.parametrize(
    ("more", "secret", "field"),
    [
        ({"endpoint": "http://10.0.0.1:8080"}, APPLICATION, "spec.azure.endpoint"),
        ({"endpoint": "http://10.0.0.1:8080"}, {}, "spec.azure.endpoint"),
        ({"authority": "http://10.0.0.1:8080"}, APPLICATION, "spec.azure.authority"),
    ],
)
def test_a_real_identity_is_never_sent_without_tls(more, secret, field):
    with pytest.raises(Invalid) as refused:
        access(settings(**more), Credentials(secret), {})
    assert refused.value.field == field


def test_a_class_without_its_block_is_refused():
    with pytest.raises(Invalid) as refused:
        settings_of(Wanted(Owner("0b4c", "edge")))
    assert refused.value.field == "spec.azure"

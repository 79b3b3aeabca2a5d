"""Where credentials come from, what is refused about them, and the CVM role."""

from __future__ import annotations

import json
import time

import pytest
from e2e.clouds.service import Answer, Service
from tests.providers.tencent.canned import Canned

from havip.api.v1alpha1.clouds import TencentSettings
from havip.provider import Credentials, Forbidden, Invalid, Unavailable
from havip_providers.tencent.client import MachineRole
from havip_providers.tencent.config import SecretKey, connection, settings_of

GIVEN = {"secretId": "id-1", "secretKey": "key-1"}
ENVIRONMENT = {"TENCENTCLOUD_SECRET_ID": "id-2", "TENCENTCLOUD_SECRET_KEY": "key-2"}


def settings(**given):
    return TencentSettings(region="ap-guangzhou", vpc_id="vpc-1", subnet_id="subnet-1", **given)


def key_of(values=None, environment=None):
    return connection(settings(), Credentials(values), environment=environment or {}).key


def test_the_secret_comes_first_then_the_environment_then_the_role():
    assert key_of(GIVEN, ENVIRONMENT) == SecretKey("id-1", "key-1")
    assert key_of({**GIVEN, "token": "t"}) == SecretKey("id-1", "key-1", "t")
    assert key_of(None, ENVIRONMENT) == SecretKey("id-2", "key-2")
    assert key_of() is None


def test_the_line_end_of_a_file_is_no_part_of_a_key():
    assert key_of({"secretId": "id-1\n", "secretKey": " key-1\r\n"}) == SecretKey("id-1", "key-1")


@pytest.mark.parametrize(
    ("values", "environment", "message"),
    [
        ({"secretId": "id"}, {}, "the Secret's key secretKey is missing or empty"),
        ({"secretKey": "key"}, {}, "the Secret's key secretId is missing or empty"),
        ({"other": "x"}, ENVIRONMENT, "the Secret's key secretId is missing or empty"),
        ({**GIVEN, "token": " "}, {}, "the Secret's key token is missing or empty"),
        ({"secretId": "i d", "secretKey": "key"}, {}, "the Secret's key secretId has spaces or characters"),
        ({"secretId": "id", "secretKey": "ké"}, {}, "the Secret's key secretKey has spaces or characters"),
        ({"secretId": "id", "secretKey": "k\r\nX-Evil: 1"}, {}, "the Secret's key secretKey has spaces"),
        ({}, {"TENCENTCLOUD_SECRET_ID": "id"}, "the environment's TENCENTCLOUD_SECRET_KEY is missing or empty"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_by_name_and_not_shown(values, environment, message):
    with pytest.raises(Forbidden) as refused:
        key_of(values, environment)
    assert message in str(refused.value)
    assert "Evil" not in str(refused.value)


def test_no_key_is_ever_shown():
    made = connection(settings(), Credentials({**GIVEN, "token": "token-1"}), environment={})
    assert not [value for value in ("id-1", "key-1", "token-1") if value in repr(made) + str(made.key)]


@pytest.mark.parametrize(
    ("endpoint", "host", "plain"),
    [
        (None, None, False),
        ("https://vpc.example.com", "vpc.example.com", False),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
    ],
)
def test_the_endpoint_is_the_public_one_or_the_one_of_the_class(endpoint, host, plain):
    made = connection(settings(endpoint=endpoint), Credentials(GIVEN), environment={})
    assert (made.region, made.host, made.plain) == ("ap-guangzhou", host, plain)


def test_settings_of_another_cloud_are_refused():
    with pytest.raises(Invalid) as refused:
        settings_of(object())
    assert refused.value.field == "spec.tencent"


# -- the CVM role ------------------------------------------------------------------------------------------------


def a_key(*, ends_in=3600.0):
    return Answer(200, json.dumps({"Code": "Success", "TmpSecretId": "tmp-id", "TmpSecretKey": "tmp-key",
                                   "Token": "tmp-token", "ExpiredTime": time.time() + ends_in}).encode())  # fmt: skip


def role(*answers):
    return Service(Canned([Answer(200, b"operator"), *answers]))


def asked(service):
    return MachineRole(service.endpoint.removeprefix("http://"), 2.0)


def test_the_role_of_the_machine_gives_a_key_that_is_used_until_shortly_before_its_end():
    with role(a_key()).serving() as service:
        one = asked(service)
        assert one.get_credential_info() == ("tmp-id", "tmp-key", "tmp-token")
        assert one.get_credential_info() == ("tmp-id", "tmp-key", "tmp-token")
        paths = [exchange.request.path for exchange in service.exchanges]
        assert paths == [f"/latest/meta-data/cam/security-credentials/{name}" for name in ("", "operator")]
        assert "tmp" not in repr(one)


def test_a_key_that_ends_soon_is_fetched_anew():
    with role(a_key(ends_in=200), Answer(200, b"operator"), a_key()).serving() as service:
        one = asked(service)
        one.get_credential_info()
        one.get_credential_info()
        assert len(service.exchanges) == 4


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ([Answer(404)], Forbidden, "has no CVM role"),
        ([Answer(500)], Unavailable, "answers 500"),
        ([Answer(200, b"operator"), Answer(200, b'{"Code": "Failed"}')], Forbidden, "no key for its CVM role"),
        ([Answer(200, b"operator"), Answer(200, b"<html>")], Forbidden, "no key for its CVM role"),
    ],
)
def test_a_machine_without_a_role_is_told_so(answers, kind, message):
    with Service(Canned(answers)).serving() as service, pytest.raises(kind, match=message):
        asked(service).get_credential_info()


def test_where_nothing_gives_credentials_all_three_places_are_named():
    with pytest.raises(Forbidden, match="names no Secret, the environment has none, and no metadata service"):
        MachineRole("127.0.0.1:9", 1.0).get_credential_info()

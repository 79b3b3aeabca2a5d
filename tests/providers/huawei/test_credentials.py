"""Where the key comes from, that it is never shown, and that another one needs no restart."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time

import pytest
from e2e.clouds.service import Answer, Service
from tests.providers.huawei.workbench import ACCESS_KEY, PROJECT, SECRET_KEY, HuaweiWorkbench, running

from havip.api.v1alpha1.clouds import HuaweiSettings
from havip.provider import Credentials, Forbidden, Invalid, Owner, ProviderBroken, Unavailable, Wanted
from havip_providers.huawei.config import Key, access
from havip_providers.huawei.provider import provider

SETTINGS = HuaweiSettings(region="eu-west-101", project_id=PROJECT, network_id="n", subnet_id="s")
WANTED = Wanted(Owner("c", "edge"), SETTINGS)


def test_the_secret_goes_before_the_environment():
    environment = {"HUAWEICLOUD_SDK_AK": "theirs", "HUAWEICLOUD_SDK_SK": "theirs"}
    given = Credentials({"accessKey": "a", "secretKey": "s\n", "securityToken": "t"})
    assert access(WANTED, given, environment).key == Key("a", "s", "t")
    assert access(WANTED, Credentials(), environment).key == Key("theirs", "theirs")
    assert access(WANTED, Credentials(), {}).key is None


@pytest.mark.parametrize("half", [{"accessKey": "a"}, {"secretKey": "s"}, {"accessKey": "a", "secretKey": " "}])
def test_half_a_key_names_the_other_half(half):
    missing = ({"accessKey", "secretKey"} - {name for name, value in half.items() if value.strip()}).pop()
    with pytest.raises(Forbidden, match=f"must have the key {missing}"):
        provider.connect(WANTED, Credentials(half))


def test_half_a_key_in_the_environment_names_the_other_half():
    with pytest.raises(Forbidden, match="HUAWEICLOUD_SDK_SK is missing"):
        access(WANTED, Credentials(), {"HUAWEICLOUD_SDK_AK": "a"})


def test_a_region_that_the_sdk_does_not_know_needs_an_endpoint():
    settings = SETTINGS.model_copy(update={"region": "moon-1"})
    with pytest.raises(Invalid, match=r"spec\.huawei\.endpoint") as invalid:
        provider.connect(Wanted(Owner("c", "edge"), settings), HuaweiWorkbench.credentials)
    assert invalid.value.field == "spec.huawei.region"


def test_a_region_has_its_own_endpoint():
    provider.connect(WANTED, HuaweiWorkbench.credentials).close()


def test_a_temporary_key_comes_with_its_token():
    with running() as bench:
        bench.cloud.keys[ACCESS_KEY] = "the-token"
        wanted = bench.wanted(1)
        with pytest.raises(Forbidden, match="not accepted"):
            bench.plan(wanted)
        key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY, "securityToken": "the-token"}
        cloud = bench.connect(wanted, Credentials(key))
        assert cloud.observe(bench.provider.adjust(wanted)).ports
        cloud.close()


def test_another_key_needs_another_connection_and_no_restart():
    with running() as bench:
        wanted = bench.wanted(1)
        old = bench.connect(wanted)
        bench.cloud.keys = {"ANOTHERKEY": ""}
        with pytest.raises(Forbidden) as refused:
            old.observe(bench.provider.adjust(wanted))
        assert refused.value.permission == ""
        assert ACCESS_KEY not in str(refused.value)
        old.close()
        new = bench.connect(wanted, Credentials({"accessKey": "ANOTHERKEY", "secretKey": "another"}))
        new.observe(bench.provider.adjust(wanted))
        new.close()


def test_nothing_of_a_key_is_shown_or_logged(caplog):
    key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY, "securityToken": "a-token"}
    with running() as bench, caplog.at_level(logging.DEBUG):
        bench.cloud.keys[ACCESS_KEY] = "a-token"
        wanted = bench.wanted(1)
        cloud = bench.connect(wanted, Credentials(key))
        desired = bench.provider.adjust(wanted)
        observed = cloud.observe(desired)
        shown = [repr(access(wanted, Credentials(key), {})), repr(cloud), repr(cloud._client), repr(observed)]
        cloud.close()
    for secret in key.values():
        assert not [text for text in (*shown, caplog.text) if secret in text]


class Metadata:
    """The metadata service of a server; `key` None = no agency."""

    def __init__(self, key):
        self.key = key

    def reads(self, request):
        return True

    def answer(self, request, trouble):
        if request.method == "PUT":
            return Answer(200, b"metadata-token")
        if self.key is None:
            return Answer(404, b'{"error": {"message": "Please configure Cloud Service Agency first"}}')
        until = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() + 24 * 3600))
        told = {"access": self.key, "secret": "its-secret", "securitytoken": "its-token", "expires_at": until}
        return Answer(200, json.dumps({"credential": told}).encode())


@pytest.fixture
def nothing_given(monkeypatch):
    for name in ("AK", "SK", "SECURITY_TOKEN"):
        monkeypatch.delenv(f"HUAWEICLOUD_SDK_{name}", raising=False)


def point_metadata_to(monkeypatch, endpoint):
    from huaweicloudsdkcore.auth.internal import MetadataAccessor

    monkeypatch.setattr(MetadataAccessor, "_METADATA_ENDPOINT", endpoint)


def test_where_nothing_is_given_the_agency_of_the_server_signs(monkeypatch, nothing_given):
    metadata = Service(Metadata("AGENCYKEY"))
    with running() as bench, metadata.serving():
        point_metadata_to(monkeypatch, metadata.endpoint)
        bench.cloud.keys = {"AGENCYKEY": "its-token"}
        wanted = bench.wanted((bench.vip(1),))
        cloud = bench.provider.connect(wanted, Credentials())
        assert cloud.observe(bench.provider.adjust(wanted)).eips
        assert len(metadata.exchanges) == 2, "one token, one key, for both services"
        cloud.close()


def test_a_server_without_an_agency_has_no_credentials(monkeypatch, nothing_given):
    metadata = Service(Metadata(None))
    with running() as bench, metadata.serving():
        point_metadata_to(monkeypatch, metadata.endpoint)
        cloud = bench.provider.connect(bench.wanted(1), Credentials())
        with pytest.raises(Forbidden, match="answers 404 for its agency"):
            cloud.observe(bench.provider.adjust(bench.wanted(1)))
        cloud.close()


def test_metadata_that_do_not_answer_may_answer_later(monkeypatch, nothing_given):
    point_metadata_to(monkeypatch, "http://127.0.0.1:9")
    with running() as bench:
        cloud = bench.provider.connect(bench.wanted(1), Credentials())
        with pytest.raises(Unavailable, match="metadata of this server"):
            cloud.observe(bench.provider.adjust(bench.wanted(1)))
        cloud.close()


def test_the_sdk_is_imported_when_a_class_connects_and_not_before():
    code = (
        "import sys; from havip_providers.huawei.provider import provider;"
        "assert not [one for one in sys.modules if one.startswith(('huaweicloud', 'requests'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_sdk_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "havip_providers.huawei.client", None)
    monkeypatch.delitem(sys.modules, "havip_providers.huawei.client")
    monkeypatch.setitem(sys.modules, "huaweicloudsdkcore.auth.credentials", None)
    with pytest.raises(ProviderBroken, match=r"install havip-operator\[huawei\]"):
        provider.connect(WANTED, HuaweiWorkbench.credentials)

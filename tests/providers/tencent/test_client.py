"""What the client makes of answers: each documented refusal in our words, and no success that is none."""

from __future__ import annotations

import logging
import time

import pytest
from e2e.clouds.service import Answer, Service, Trouble
from tests.providers.tencent.canned import Canned, client, refusal, success
from tests.providers.tencent.workbench import SECRET_ID, SECRET_KEY, TOKEN

from havip.provider import Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable
from havip_providers.tencent.client import Client, Timing, failure
from havip_providers.tencent.config import Connection, SecretKey
from havip_providers.tencent.mapping import Create, Member

SECRETS = (SECRET_ID, SECRET_KEY, TOKEN)


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        ("RequestLimitExceeded", Throttled, True),
        ("RequestLimitExceeded.UinLimitExceeded", Throttled, True),
        ("RequestLimitExceeded.GlobalRegionUinLimitExceeded", Throttled, True),
        ("AuthFailure.SignatureFailure", Forbidden, False),
        ("AuthFailure.SignatureExpire", Forbidden, False),
        ("AuthFailure.SecretIdNotFound", Forbidden, False),
        ("AuthFailure.TokenFailure", Forbidden, False),
        ("AuthFailure.UnauthorizedOperation", Forbidden, False),
        ("UnauthorizedOperation", Forbidden, False),
        ("UnauthorizedOperation.NoRealNameAuthentication", Forbidden, False),
        ("UnsupportedOperation.MutexOperationTaskRunning", Conflict, True),
        ("OperationDenied.MutexTaskRunning", Conflict, True),
        ("UnsupportedOperation.IdempotentProcessing", Conflict, True),
        ("UnsupportedOperation.IdempotentParameterMismatch", Invalid, False),
        ("InvalidParameterValue.DuplicatedHaVipAssociations", Conflict, True),
        ("ResourceInUse", Conflict, True),
        ("ResourceInUse.Address", Conflict, True),
        ("ResourceUnavailable", Conflict, True),
        ("FailedOperation.TaskFailed", Conflict, True),
        ("InternalError", Unavailable, True),
        ("InternalError.ModuleError", Unavailable, True),
        ("InternalServerError", Unavailable, True),
        ("ResourceNotFound", NotFound, False),
        ("InvalidInstanceId.NotFound", NotFound, False),
        ("InvalidParameterValue.Malformed", Invalid, False),
        ("InvalidParameterValue", Invalid, False),
        ("LimitExceeded", Invalid, False),
        ("MissingParameter", Invalid, False),
        ("UnknownParameter", Invalid, False),
        ("UnsupportedOperation", Invalid, False),
        ("SomethingNew.OfNextYear", Invalid, False),
    ],
)
def test_each_refusal_becomes_one_of_our_failures(code, kind, again):
    with client(refusal(code, "the cloud's words")) as (one, _), pytest.raises(kind) as failed:
        one.disassociate("havip-1", [Member("CVM", "ins-1")])
    assert type(failed.value) is kind
    assert failed.value.again is again
    assert "the cloud's words" in str(failed.value)
    assert code in str(failed.value)
    assert "r-1" in str(failed.value)


def test_throttled_and_busy_say_how_long_to_keep_still():
    assert failure("CreateHaVip", "RequestLimitExceeded", "", "").wait == 1.0
    assert failure("CreateHaVip", "UnsupportedOperation.MutexOperationTaskRunning", "", "").wait == 2.0


def test_a_missing_permission_is_named_by_the_action_that_was_called():
    with client(refusal("UnauthorizedOperation")) as (one, _), pytest.raises(Forbidden) as failed:
        one.havips()
    assert failed.value.permission == "vpc:DescribeHaVips"
    assert "vpc:DescribeHaVips" in str(failed.value)


def test_wrong_credentials_name_no_permission():
    assert failure("CreateHaVip", "AuthFailure.SignatureFailure", "", "").permission == ""


@pytest.mark.parametrize(
    ("action", "code", "field"),
    [
        ("CreateHaVip", "InvalidParameterValue.Range", "spec.addresses"),
        ("CreateHaVip", "InvalidParameterValue.Reserved", "spec.addresses"),
        ("HaVipAssociateAddressIp", "InvalidParameterValue.AddressIpNotFound", "spec.publicIp"),
        ("HaVipAssociateAddressIp", "UnsupportedOperation.AddressIpInArrear", "spec.publicIp"),
        ("CreateHaVip", "InvalidVpcId.NotFound", "spec.tencent.vpcId"),
        ("DescribeNetworkInterfaces", "InvalidVpcId.Malformed", "spec.tencent.vpcId"),
        ("DescribeHaVips", "UnsupportedRegion", "spec.tencent.region"),
        ("DeleteHaVip", "InvalidParameterValue.Range", ""),
    ],
)
def test_a_refused_value_names_our_field_where_it_is_known(action, code, field):
    failed = failure(action, code, "no", "r-1")
    assert isinstance(failed, Invalid)
    assert failed.field == field


# -- answers that are none ---------------------------------------------------------------------------------------


def test_a_refusal_behind_another_content_type_is_no_success():
    """The SDK looks for errors behind the bare type only."""
    charset = {"Content-Type": "application/json; charset=utf-8"}
    with client(refusal("ResourceNotFound", headers=charset)) as (one, _), pytest.raises(NotFound):
        one.disassociate("havip-1", [Member("CVM", "ins-1")])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b'{"Response": {}}', {"Content-Type": "application/json"}),
        Answer(200, b'{"Response": []}', {"Content-Type": "text/html"}),
        Answer(200, b"{}", {"Content-Type": "application/json"}),
        Answer(200, b"[]", {"Content-Type": "text/html"}),
        Answer(200, b"not json", {"Content-Type": "application/json"}),
        Answer(200, b"<html>a proxy's page</html>", {"Content-Type": "text/html"}),
        Answer(200, b"", {}),
        Answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
        Answer(429, b"", {}),
        success(),
        success(HaVip=None),
        success(HaVip={}),
        success(TotalCount=1),
        success(HaVipSet=[]),
        success(HaVipSet=None, TotalCount=0),
        success(HaVipSet={}, TotalCount=0),
    ],
)
def test_an_answer_without_its_key_fields_is_none(answer):
    with client(answer) as (one, _), pytest.raises(Unavailable):
        one.havips()


def test_a_creation_without_an_id_is_none():
    name = "one"
    change = Create(stage=0, on=name, what=name, vpc="v", subnet="s", address="10.0.0.9", name=name, members=(),
                    tags=(), token=name)  # fmt: skip
    for answer in (success(), success(HaVip=None), success(HaVip={"HaVipId": ""})):
        with client(answer) as (one, _), pytest.raises(Unavailable):
            one.create(change)


def test_unknown_fields_and_nulls_are_borne():
    havip = {"HaVipId": "havip-1", "Vip": "10.0.0.1", "TagSet": None, "HaVipAssociationSet": None, "FlushedTime": None,
             "CheckAssociate": None, "NewIn2030": {"a": [1]}}  # fmt: skip
    with client(success(HaVipSet=[havip], TotalCount=1, NewAsWell=1)) as (one, _):
        (found,) = one.havips()
    assert (found.id, found.tags, found.members, found.checked) == ("havip-1", (), frozenset(), False)
    with client(success(NetworkInterfaceSet=[{"NetworkInterfaceId": "e", "Attachment": None}], TotalCount=1)) as (
        one,
        _,
    ):
        assert one.interfaces("v", "s")[0].instance == ""
    with client(success(VpcLimitSet=None)) as (one, _):
        assert one.quota() is None


def test_a_list_that_shifts_while_it_is_read_shows_nothing_twice():
    def page(*ids):
        return success(HaVipSet=[{"HaVipId": one, "Vip": "10.0.0.1"} for one in ids], TotalCount=3)

    with client(page("a", "b"), page("b")) as (one, service):
        assert [havip.id for havip in one.havips()] == ["a", "b"]
        assert len(service.exchanges) == 2


# -- time ------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_twice():
    """The operator has a back-off of its own, and the SDK's retryer repeats what has succeeded."""
    for answer in (refusal("RequestLimitExceeded"), refusal("InternalError"), Answer(503)):
        with client(answer) as (one, service):
            with pytest.raises((Throttled, Unavailable)):
                one.disassociate("havip-1", [Member("CVM", "ins-1")])
            assert len(service.exchanges) == 1


def test_a_service_that_keeps_silent_is_left_soon():
    with Service(Canned([success()])).serving() as service:
        service.fail_always(Trouble.SLOW)
        key = SecretKey(SECRET_ID, SECRET_KEY)
        one = Client(Connection("r", service.endpoint.removeprefix("http://"), True, key), Timing(read=0.05))
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer in time"):
            one.havips()
        assert time.monotonic() - began < 1.5
        one.close()


def test_a_service_that_is_not_there_is_named_so():
    one = Client(Connection("r", "127.0.0.1:9", True, SecretKey(SECRET_ID, SECRET_KEY)), Timing())
    with pytest.raises(Unavailable, match="nobody listens there"):
        one.havips()
    one.close()


def test_by_default_no_call_takes_longer_than_twenty_seconds():
    timing = Timing()
    call = timing.connect + timing.read
    assert timing.limit + call <= 20, "a task: the last poll begins within the limit"
    assert 1 <= timing.poll <= 2


class Watch:
    """A clock that only waiting turns."""

    def __init__(self):
        self.time = 0.0
        self.waits = []

    def wait(self, seconds):
        self.time += seconds
        self.waits.append(seconds)

    def timing(self):
        return Timing(read=2.0, pause=self.wait, now=lambda: self.time)


def test_a_task_is_polled_by_the_request_id_until_it_has_ended():
    watch, running = Watch(), success(Status="RUNNING", Output="")
    with client(success(), running, running, success(Status="SUCCESS"), timing=watch.timing()) as (one, service):
        one.delete("havip-1")
    asked = [(item.request.headers["x-tc-action"], item.request.body) for item in service.exchanges]
    assert asked == [("DeleteHaVip", b'{"HaVipId": "havip-1"}')] + [
        ("DescribeVpcTaskResult", b'{"TaskId": "r-1"}')
    ] * 3  # fmt: skip
    assert watch.waits == [1.0, 1.0]


def test_a_task_without_end_is_left_at_the_limit():
    watch = Watch()
    with (
        client(success(), success(Status="RUNNING"), timing=watch.timing()) as (one, service),
        pytest.raises(Unavailable, match="still going on after 10 s"),
    ):
        one.bind("havip-1", "203.0.113.1")
    assert watch.time == 10.0
    assert len(service.exchanges) == 12


def test_a_task_that_fails_says_why():
    failed = success(Status="FAILED", Output="no   such\nEIP")
    with client(success(), failed) as (one, _), pytest.raises(Conflict, match="has failed: no such EIP"):
        one.bind("havip-1", "203.0.113.1")


def test_a_task_that_is_not_known_yet_is_waited_for():
    watch = Watch()
    answers = (success(), refusal("ResourceNotFound"), success(Status="SUCCESS"))
    with client(*answers, timing=watch.timing()) as (one, _):
        one.unbind("havip-1")
    assert watch.waits == [1.0]


# -- secrets -----------------------------------------------------------------------------------------------------


def test_a_refusal_that_repeats_the_credentials_is_shown_without_them():
    told = f"id {SECRET_ID} key {SECRET_KEY} token {TOKEN} " + "x" * 1000
    with client(refusal("AuthFailure.SignatureFailure", told)) as (one, _), pytest.raises(Forbidden) as failed:
        one.havips()
    shown = f"{failed.value} {failed.value!r} {failed.value.__cause__!r} {failed.value.__context__!r}"
    assert not [secret for secret in SECRETS if secret in shown]
    assert len(str(failed.value)) < 500
    assert failed.value.__context__ is None


def test_nothing_is_logged_that_holds_a_credential(caplog):
    caplog.set_level(logging.DEBUG)
    with client(success(HaVipSet=[], TotalCount=0)) as (one, service):
        one.havips()
        shown = repr(one)
    sent = service.exchanges[0].request.headers
    hidden = (*SECRETS, sent["authorization"].rpartition("Signature=")[2])
    assert sent["x-tc-token"] == TOKEN
    assert not [secret for secret in hidden for text in (caplog.text, shown) if secret in text]

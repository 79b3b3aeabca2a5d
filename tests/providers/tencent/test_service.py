"""The emulated service itself: what it refuses, what it remembers, and who may announce what."""

from __future__ import annotations

import json
import time

import pytest
from e2e.clouds.service import Request
from e2e.clouds.tencent import Account, Guesses, TencentCloud, signature
from e2e.clouds.tencent.refusal import Refused
from tests.providers.tencent.schema import faults_of, faults_of_request
from tests.providers.tencent.workbench import SECRET_ID, SECRET_KEY, SUBNET, VPC, Clock, an_estate

MEMBERS = [{"InstanceType": "CVM", "InstanceId": "ins-n1"}, {"InstanceType": "CVM", "InstanceId": "ins-n2"}]


@pytest.fixture
def cloud():
    return TencentCloud({SECRET_ID: Account(SECRET_ID, SECRET_KEY)}, an_estate(Guesses()), now=Clock(0.0))


def signed(action, body, *, key=SECRET_KEY, at=None):
    """As the SDK signs, by a second hand."""
    sent = str(int(time.time() if at is None else at))
    day = time.strftime("%Y-%m-%d", time.gmtime(int(sent)))
    headers = {"content-type": "application/json", "host": "vpc", "x-tc-action": action, "x-tc-timestamp": sent,
               "x-tc-version": "2017-03-12", "x-tc-region": "ap-guangzhou"}  # fmt: skip
    request = Request("POST", "/", {}, headers, json.dumps(body).encode())
    account = Account(SECRET_ID, key)
    proof = signature._signature(request, account, ["content-type", "host"], sent, day)
    scope = f"{SECRET_ID}/{day}/vpc/tc3_request"
    headers["authorization"] = (
        f"TC3-HMAC-SHA256 Credential={scope}, SignedHeaders=content-type;host, Signature={proof}"
    )  # fmt: skip
    return request


def call(cloud, action, **body):
    answer = cloud.answer(signed(action, body), None)
    assert answer.status == 200
    assert dict(answer.headers) == {"Content-Type": "application/json"}
    return json.loads(answer.body)["Response"]


def code(cloud, action, **body):
    return call(cloud, action, **body).get("Error", {}).get("Code")


def create(cloud, address="10.0.0.100", **given):
    return {
        "VpcId": VPC, "SubnetId": SUBNET, "HaVipName": "web", "Vip": address, "CheckAssociate": True,
        "HaVipAssociationSet": MEMBERS, **given,
    }  # fmt: skip


def made(cloud, **given):
    return call(cloud, "CreateHaVip", **create(cloud, **given))["HaVip"]


# -- who may announce --------------------------------------------------------------------------------------------


def test_a_member_takes_it_and_the_time_is_written_down(cloud):
    made(cloud)
    assert cloud.holder("10.0.0.100") is None
    assert cloud.garp("ins-n1", "10.0.0.100")
    found = call(cloud, "DescribeHaVips", Filters=[{"Name": "vip", "Values": ["10.0.0.100"]}])["HaVipSet"][0]
    assert (found["State"], found["InstanceId"], found["NetworkInterfaceId"]) == ("AVAILABLE", "ins-n1", "eni-n1")
    assert found["FlushedTime"] == cloud.holder("10.0.0.100").flushed != "0000-00-00 00:00:00"


def test_who_is_no_member_changes_nothing(cloud):
    made(cloud)
    cloud.garp("ins-n1", "10.0.0.100")
    assert not cloud.garp("ins-n3", "10.0.0.100")
    assert not cloud.garp("ins-unknown", "10.0.0.100")
    assert cloud.holder("10.0.0.100").instance == "ins-n1"


def test_without_the_check_any_host_of_the_subnet_takes_it(cloud):
    made(cloud, CheckAssociate=False)
    assert cloud.garp("ins-n3", "10.0.0.100")
    assert not cloud.garp("ins-x", "10.0.0.100"), "another VPC"


def test_what_is_no_havip_is_not_taken(cloud):
    assert not cloud.garp("ins-n1", "10.0.0.177")
    assert cloud.may_announce("10.0.0.177") == frozenset()


def test_the_first_announcements_may_be_lost(cloud):
    made(cloud)
    cloud.estate.lose_announcements = 2
    assert [cloud.garp("ins-n1", "10.0.0.100") for _ in range(3)] == [False, False, True]


def test_announcing_again_is_no_move(cloud):
    made(cloud)
    cloud.garp("ins-n1", "10.0.0.100")
    cloud.estate.at("", "10.0.0.100").flushed = "then"
    assert cloud.garp("ins-n1", "10.0.0.100")
    assert cloud.holder("10.0.0.100").flushed == "then"


# -- what it refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Vip": "10.0.9.9"}, "InvalidParameterValue.Range"),
        ({"Vip": "10.0.0.1"}, "InvalidParameterValue.Reserved"),
        ({"Vip": "10.0.0.99"}, "ResourceInUse.Address"),
        ({"Vip": "10.0.0.11"}, "ResourceInUse.Address"),
        ({"SubnetId": "subnet-c"}, "ResourceNotFound"),
        ({"HaVipName": "x" * 61}, "InvalidParameterValue.TooLong"),
        ({"HaVipName": ""}, "MissingParameter"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue.TooLong"),
        ({"Colour": "grey"}, "UnknownParameter"),
        ({"HaVipAssociationSet": [{"InstanceType": "CVM", "InstanceId": "ins-x"}]}, "ResourceNotFound"),
        ({"HaVipAssociationSet": [{"InstanceType": "ENI", "InstanceId": "eni-n1"}]}, "UnsupportedOperation"),
        (
            {"HaVipAssociationSet": [*MEMBERS, {"InstanceType": "ENI", "InstanceId": "eni-n1-2"}]},
            "UnsupportedOperation",
        ),
        ({"HaVipAssociationSet": MEMBERS * 2}, "InvalidParameterValue.DuplicatedHaVipAssociations"),
        ({"HaVipAssociationSet": MEMBERS * 6}, "InvalidParameterValue.LimitExceeded"),
    ],
)
def test_a_havip_that_cannot_be_is_refused(cloud, given, expected):
    before = len(cloud.estate.havips)
    assert code(cloud, "CreateHaVip", **{**create(cloud), **given}) == expected
    assert len(cloud.estate.havips) == before


def test_more_than_the_quota_is_refused(cloud):
    cloud.estate.quota = 2
    assert code(cloud, "CreateHaVip", **create(cloud)) == "LimitExceeded"
    limits = call(cloud, "DescribeVpcLimits", LimitTypes=["vpc-max-havips", "vpc-max-subnets"])["VpcLimitSet"]
    assert limits == [{"LimitType": "vpc-max-havips", "LimitValue": 2}]


def test_a_token_repeats_the_answer_and_minds_the_question(cloud):
    first = made(cloud, ClientToken="t")
    assert made(cloud, ClientToken="t") == first
    assert code(cloud, "CreateHaVip", **create(cloud, ClientToken="t", HaVipName="api")) == (
        "UnsupportedOperation.IdempotentParameterMismatch"
    )  # fmt: skip


def test_what_is_bound_is_not_deleted(cloud):
    havip = made(cloud)["HaVipId"]
    call(cloud, "HaVipAssociateAddressIp", HaVipId=havip, AddressIp="203.0.113.1")
    assert code(cloud, "DeleteHaVip", HaVipId=havip) == "UnsupportedOperation.BindEIP"
    call(cloud, "HaVipDisassociateAddressIp", HaVipId=havip)
    assert code(cloud, "HaVipDisassociateAddressIp", HaVipId=havip) == "UnsupportedOperation.UnbindEIP"
    assert code(cloud, "DeleteHaVip", HaVipId=havip) == "UnsupportedOperation"
    cloud.garp("ins-n1", "10.0.0.100")
    kept = [{**one, "HaVipId": havip} for one in MEMBERS]
    call(cloud, "DisassociateHaVipInstance", HaVipAssociationSet=kept[1:])
    assert cloud.holder("10.0.0.100").instance == "ins-n1"
    call(cloud, "DisassociateHaVipInstance", HaVipAssociationSet=kept[:1])
    assert cloud.holder("10.0.0.100") is None
    assert code(cloud, "DeleteHaVip", HaVipId=havip) is None
    assert code(cloud, "DeleteHaVip", HaVipId=havip) == "ResourceNotFound"


def test_an_eip_that_is_bound_or_in_arrears_or_unknown_is_not_bound(cloud):
    havip = made(cloud)["HaVipId"]
    cloud.estate.eips["eip-00000001"].in_arrears = True
    codes = [
        code(cloud, "HaVipAssociateAddressIp", HaVipId=havip, AddressIp=f"203.0.113.{end}") for end in (1, 2, 3)
    ]  # fmt: skip
    assert codes == [
        "UnsupportedOperation.AddressIpInArrear",
        "UnsupportedOperation.AddressIpStatusNotPermit",
        "InvalidParameterValue.AddressIpNotFound",
    ]


def test_while_a_task_runs_the_havip_is_nobody_elses(cloud):
    cloud.task_seconds = 5.0
    havip = made(cloud)["HaVipId"]
    task = call(cloud, "HaVipAssociateAddressIp", HaVipId=havip, AddressIp="203.0.113.1")["RequestId"]
    mutex = "UnsupportedOperation.MutexOperationTaskRunning"
    assert code(cloud, "HaVipDisassociateAddressIp", HaVipId=havip) == mutex
    gone = [{**MEMBERS[0], "HaVipId": havip}]
    assert code(cloud, "DisassociateHaVipInstance", HaVipAssociationSet=gone) == mutex
    assert call(cloud, "DescribeVpcTaskResult", TaskId=task)["Status"] == "RUNNING"
    cloud.now.wait(5.0)
    assert call(cloud, "DescribeVpcTaskResult", TaskId=task)["Status"] == "SUCCESS"
    assert cloud.behind("203.0.113.1") == "10.0.0.100"
    assert code(cloud, "DescribeVpcTaskResult", TaskId="r-unknown") == "ResourceNotFound"


def test_lists_come_in_pages_and_by_filters(cloud):
    everything = call(cloud, "DescribeNetworkInterfaces", Limit=100)
    assert everything["TotalCount"] == 7
    page = call(cloud, "DescribeNetworkInterfaces", Offset=2, Limit=2)
    assert (page["NetworkInterfaceSet"], page["TotalCount"]) == (everything["NetworkInterfaceSet"][2:4], 7)
    here = [{"Name": "vpc-id", "Values": [VPC]}, {"Name": "subnet-id", "Values": [SUBNET, "subnet-b"]}]
    assert call(cloud, "DescribeNetworkInterfaces", Filters=here)["TotalCount"] == 6
    assert code(cloud, "DescribeNetworkInterfaces", Limit=101) == "InvalidParameterValue.Range"
    assert code(cloud, "DescribeHaVips", Filters=[{"Name": "colour", "Values": ["x"]}]) == (
        "InvalidParameter.InvalidFilter"
    )  # fmt: skip
    six = [{"Name": "vip", "Values": [str(number) for number in range(6)]}]
    assert code(cloud, "DescribeHaVips", Filters=six) == "LimitExceeded.NumberOfFilters"
    assert code(cloud, "DescribeHaVips", HaVipIds=["a"], Filters=here[:1]) == "InvalidParameter.Coexist"


# -- who is calling ----------------------------------------------------------------------------------------------


def test_only_a_right_and_recent_signature_is_taken(cloud):
    def told(request):
        return json.loads(cloud.answer(request, None).body)["Response"].get("Error", {}).get("Code")

    right = signed("DescribeHaVips", {})
    assert told(right) is None
    assert told(signed("DescribeHaVips", {}, key="wrong")) == "AuthFailure.SignatureFailure"
    assert told(signed("DescribeHaVips", {}, at=time.time() - 400)) == "AuthFailure.SignatureExpire"
    bare = Request("POST", "/", {}, {**right.headers, "authorization": ""}, right.body)
    assert told(bare) == "AuthFailure.SignatureFailure"
    changed = Request("POST", "/", {}, right.headers, b'{"Limit": 1}')
    assert told(changed) == "AuthFailure.SignatureFailure"
    cloud.accounts.clear()
    assert told(right) == "AuthFailure.SecretIdNotFound"


def test_a_permission_is_taken_away_action_by_action(cloud):
    cloud.denied.add("vpc:DescribeHaVips")
    assert code(cloud, "DescribeHaVips") == "UnauthorizedOperation"
    assert code(cloud, "DescribeSubnets") is None


def test_an_unknown_action_is_refused(cloud):
    assert code(cloud, "MoveMountains") == "InvalidAction"


# -- as the SDK would read it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("DescribeHaVips", {}),
        ("DescribeNetworkInterfaces", {}),
        ("DescribeSubnets", {}),
        ("DescribeAddresses", {}),
        ("DescribeVpcLimits", {"LimitTypes": ["vpc-max-havips"]}),
    ],
)
def test_answers_have_the_sdks_names_and_types(cloud, action, body):
    made(cloud, Tags=[{"Key": "a", "Value": "b"}])
    cloud.garp("ins-n1", "10.0.0.100")
    assert faults_of(f"{action}Response", call(cloud, action, **body)) == []


def test_the_answer_to_a_creation_and_to_a_task_have_them_too(cloud):
    answer = call(cloud, "CreateHaVip", **create(cloud))
    assert faults_of("CreateHaVipResponse", answer) == []
    bound = call(cloud, "HaVipAssociateAddressIp", HaVipId=answer["HaVip"]["HaVipId"], AddressIp="203.0.113.1")
    assert faults_of("HaVipAssociateAddressIpResponse", bound) == []
    task = call(cloud, "DescribeVpcTaskResult", TaskId=bound["RequestId"])
    assert faults_of("DescribeVpcTaskResultResponse", task) == []


def test_the_check_of_requests_finds_what_is_wrong():
    wrong = {"Vip": 1, "Colour": "x", "HaVipAssociationSet": [{"Id": "x"}], "Tags": "x"}
    assert sorted(faults_of("CreateHaVipRequest", wrong)) == [
        "Colour is not in CreateHaVipRequest",
        "HaVipAssociationSet.Id is not in HaVipAssociation",
        "Tags is no list",
        "Vip is no str: 1",
    ]
    headers = {"x-tc-action": "CreateHaVip", "content-type": "application/json", "x-tc-language": "en-US"}
    assert faults_of_request(headers, json.dumps({"HaVipName": "x" * 61, "CheckAssociate": True}).encode()) == [
        "CreateHaVip: VpcId is missing",
        "CreateHaVip: SubnetId is missing",
        "CreateHaVip: HaVipName is longer than 60",
    ]


def test_a_refusal_says_its_code():
    assert str(Refused("A.B", "no")) == "A.B: no"

"""The provider against the emulated service, beyond what every provider must do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from e2e.clouds.service import Trouble
from e2e.clouds.tencent import Account, Guesses
from e2e.clouds.tencent.estate import HaVip
from tests.providers.tencent.workbench import NODES, OWNER, SECRET_ID, SECRET_KEY, SUBNET, TOKEN, VPC, workbench

from havip.api.v1alpha1.clouds import TencentInstanceType
from havip.model.address import parse_address
from havip.model.keys import Key
from havip.provider import CloudFailed, CloudNode, Conflict, Credentials, Forbidden, Holder, WantedVip
from havip_providers.tencent.provider import provider

FIRST = ("shop/vip-0", "10.0.0.100")


def test_a_vip_is_one_havip_that_only_its_candidates_may_claim(bench):
    bench.reach(bench.wanted(1))
    havip = bench.ours()[FIRST]
    assert (havip.vpc, havip.subnet, havip.checked) == (VPC, SUBNET, True)
    assert (havip.member_type, havip.members) == ("CVM", ["ins-n1", "ins-n2"])
    assert havip.tags == {"havip-owner": OWNER.mark, "havip": "shop/vip-0"}
    assert bench.cloud.may_announce("10.0.0.100") == {"eni-n1", "eni-n1-2", "eni-n2", "eni-n2-2"}
    assert not bench.cloud.garp("ins-n3", "10.0.0.100")
    assert bench.cloud.garp("ins-n2", "10.0.0.100")


def test_with_interfaces_only_those_may_claim_it(bench):
    bench.type = TencentInstanceType.ENI
    bench.reach(bench.wanted(1))
    assert bench.ours()[FIRST].members == ["eni-n1-2", "eni-n2-2"]
    assert bench.cloud.may_announce("10.0.0.100") == {"eni-n1-2", "eni-n2-2"}


def test_from_instances_to_interfaces_and_back(bench):
    for kind in (TencentInstanceType.CVM, TencentInstanceType.ENI, TencentInstanceType.CVM):
        bench.type = kind
        bench.reach(bench.wanted(2))
        assert {one.member_type for one in bench.ours().values()} == {kind.value}


def test_a_primary_interface_is_found_before_anything_is_called(bench):
    bench.type = TencentInstanceType.ENI
    by_primary = tuple(CloudNode(name, (parse_address(address),)) for name, address in NODES.items())
    primary = replace(bench.wanted(1), nodes=by_primary)
    found = bench.plan(primary)
    assert not found.changes
    assert [one.field for one in found.findings] == ["spec.tencent.instanceType"]


def test_candidates_change_without_a_moment_in_which_nobody_may_claim_it(bench):
    bench.reach(bench.wanted(1))
    bench.cloud.garp("ins-n2", "10.0.0.100")
    changed = bench.reach(bench.wish(candidates=("n2", "n3")))
    assert [str(one).partition(" claim ")[0] for one in changed] == ["let ins-n3", "let ins-n1"]
    assert bench.cloud.holder("10.0.0.100").instance == "ins-n2"


def test_twenty_changes_of_the_nodes_end_as_one(bench):
    for number in range(20):
        bench.reach(bench.wish(candidates=(f"n{number % 3 + 1}", f"n{(number + 1) % 3 + 1}")))
    assert sorted(bench.ours()[FIRST].members) == ["ins-n2", "ins-n3"]
    assert len(bench.ours()) == 1


def test_the_cloud_says_where_a_vip_is_before_and_after_a_failover(bench):
    wanted = bench.wanted(1)
    bench.reach(wanted)
    key = wanted.vips[0].havip
    assert bench.plan(wanted).holders == {}
    bench.cloud.garp("ins-n1", "10.0.0.100")
    first = bench.plan(wanted).holders[key]
    assert first == Holder("n1", "ins-n1", bench.cloud.holder("10.0.0.100").flushed)
    writes = bench.writes()
    bench.cloud.garp("ins-n2", "10.0.0.100")
    plan = bench.plan(wanted)
    assert (plan.holders[key].node, plan.changes, bench.writes()) == ("n2", [], writes)


def test_an_eip_leads_to_the_vip_and_is_left_as_it_was_found(bench):
    bench.reach(bench.wanted(2))
    assert bench.cloud.behind("203.0.113.1") == "10.0.0.101"
    bench.reach(bench.wanted(0))
    assert bench.cloud.behind("203.0.113.1") is None
    assert bench.estate.eips["eip-00000001"].status == "UNBIND"


def test_an_eip_of_others_is_not_touched(bench):
    plan = bench.plan(bench.wish(public_ip="eip-00000002"))
    assert "eip-00000002 (203.0.113.2) is bound to nat-1" in str(plan.findings[0])
    assert bench.reach(bench.wish(public_ip="eip-00000002")) == []


def test_an_eip_moves_between_two_vips_of_ours(bench):
    bench.reach(bench.wanted(2))
    wanted = bench.wanted(2)
    moved = (replace(wanted.vips[0], public_ip="eip-00000001"), replace(wanted.vips[1], public_ip=None))
    bench.reach(replace(wanted, vips=moved))
    assert bench.cloud.behind("203.0.113.1") == "10.0.0.100"


# -- creating once -------------------------------------------------------------------------------------------


def test_a_vip_that_was_given_back_and_is_wanted_again_is_made_again(bench):
    """Its token is the one of the HAVIP that is gone, and the cloud answers as it did then."""
    for _ in range(3):
        bench.reach(bench.wanted(1))
        assert FIRST in bench.ours()
        bench.reach(bench.wanted(0))
        assert bench.ours() == {}
    assert bench.actions_called().count("CreateHaVip") == 5


def test_where_tokens_end_with_their_havip_it_takes_no_second_call():
    with workbench(Guesses(tokens_outlive=False)) as bench:
        for _ in range(2):
            bench.reach(bench.wanted(1))
            bench.reach(bench.wanted(0))
        assert bench.actions_called().count("CreateHaVip") == 2


def test_a_lost_answer_does_not_make_a_second_havip(bench):
    bench.service.fail(Trouble.ANSWER_LOST)
    bench.reach(bench.wanted(1))
    assert list(bench.ours()) == [FIRST]


def test_an_address_that_another_takes_in_between_is_found_at_the_next_look(bench):
    wanted = bench.wanted(1)
    desired = bench.provider.adjust(wanted)
    with bench.connected(wanted) as cloud:
        (change,) = bench.provider.plan(desired, cloud.observe(desired)).changes
        bench.service.fail(Trouble.OVERTAKEN)
        with pytest.raises(Conflict, match="is in use"):
            cloud.apply(change)
    assert "is taken by" in str(bench.plan(wanted).findings[0])


@pytest.mark.parametrize("way", [1, 0])
def test_another_writer_in_between_is_waited_for(bench, way):
    bench.reach(bench.wanted(2))
    bench.service.fail(Trouble.OVERTAKEN, times=2)
    bench.reach(bench.wanted(way))
    assert len(bench.ours()) == way


# -- deleting --------------------------------------------------------------------------------------------------


def test_a_vip_in_use_is_given_back_with_everything_that_is_bound_to_it(bench):
    before = bench.everything()
    bench.reach(bench.wanted(2))
    bench.cloud.garp("ins-n2", "10.0.0.101")
    bench.reach(bench.wanted(0))
    assert bench.everything() == before
    deleting = [one for one in bench.actions_called() if "Disassociate" in one or one == "DeleteHaVip"]
    assert deleting[0] == "HaVipDisassociateAddressIp"
    assert deleting.index("DisassociateHaVipInstance") < deleting.index("DeleteHaVip")


def test_where_the_cloud_keeps_it_bound_the_deletion_waits_and_says_for_what():
    with workbench(Guesses(range_unbinds=False)) as bench:
        wanted = bench.wanted(1)
        bench.reach(wanted)
        bench.cloud.garp("ins-n2", "10.0.0.100")
        nothing = replace(wanted, vips=())
        desired = bench.provider.adjust(nothing)
        with bench.connected(nothing) as cloud, pytest.raises(Conflict, match="is bound to eni-n2"):
            for change in bench.provider.plan(desired, cloud.observe(desired)).changes:
                cloud.apply(change)
        bench.estate.find(bench.ours()[FIRST].id).interface = ""
        bench.reach(nothing)
        assert bench.ours() == {}


@pytest.mark.parametrize(
    "guesses",
    [
        Guesses(delete_needs_unbound=False, range_unbinds=False),
        Guesses(delete_needs_no_members=False),
        Guesses(task_known_at_once=False),
        Guesses(shown_at_interface=True),
        Guesses(tags_shown_at_once=False),
        Guesses(zone_hours=0),
    ],
    ids=str,
)
def test_whichever_way_the_cloud_is_the_life_of_a_vip_is_the_same(guesses):
    with workbench(guesses) as bench:
        before = bench.everything()
        bench.reach(bench.wanted(2))
        assert bench.cloud.garp("ins-n2", "10.0.0.101")
        assert not [one for one in bench.plan(bench.wanted(2)).findings if one.blocks]
        assert bench.reach(bench.wanted(2)) == []
        bench.reach(bench.wanted(0))
        assert bench.everything() == before


def test_a_task_that_fails_is_begun_again(bench):
    bench.cloud.failing_tasks = 1
    bench.reach(bench.wanted(2))
    assert bench.cloud.behind("203.0.113.1") == "10.0.0.101"
    bench.cloud.failing_tasks = 2
    bench.reach(bench.wanted(0))
    assert bench.ours() == {}


def test_a_task_that_goes_on_for_long_is_met_again_later():
    with workbench(task_seconds=25.0) as bench:
        bench.reach(bench.wanted(2))
        bench.reach(bench.wanted(0), rounds=30)
        assert bench.ours() == {}


# -- how many calls --------------------------------------------------------------------------------------------


def eighty(bench):
    """On all three nodes."""
    vips = tuple(
        WantedVip(Key("shop", f"vip-{n}"), (parse_address(f"10.0.0.{100 + n}"),), ("n1", "n2", "n3")) for n in range(80)
    )
    return replace(bench.wanted(0), vips=vips)


def test_eighty_vips_take_eighty_writes_and_no_more_reads_than_one(bench):
    reads = []
    for wanted in (bench.wish(candidates=("n1", "n2", "n3")), eighty(bench)):
        bench.reach(wanted)
        before = bench.reads(), bench.writes()
        bench.plan(wanted)
        assert bench.writes() == before[1]
        reads.append(bench.reads() - before[0])
    assert bench.writes() == 80
    assert reads == [3, 3]
    assert bench.actions_called()[-3:] == ["DescribeHaVips", "DescribeNetworkInterfaces", "DescribeSubnets"]


def test_long_lists_are_read_to_their_end(bench):
    for number in range(250):
        bench.estate.add_interface(f"eni-more-{number}", SUBNET, (f"10.9.0.{number}",), instance=f"ins-m{number}")
    bench.estate.quota = 1000
    for number in range(150):
        bench.estate.create(HaVip("", "more", f"10.0.1.{10 + number}", VPC, "subnet-b", True), [])
    bench.estate.interfaces["eni-n3"] = bench.estate.interfaces.pop("eni-n3")  # last
    plan = bench.plan(bench.wish(candidates=("n3",)))
    assert "ins-n3" in str(plan.changes[0])
    assert bench.actions_called().count("DescribeNetworkInterfaces") == 3
    assert bench.actions_called().count("DescribeHaVips") == 2


def test_to_give_the_last_vip_back_the_network_is_not_looked_at(bench):
    bench.reach(bench.wanted(1))
    count = len(bench.service.exchanges)
    bench.plan(bench.wanted(0))
    assert bench.actions_called()[count:] == ["DescribeHaVips"]


def test_throttled_for_long_it_does_not_storm(bench):
    bench.service.fail_always(Trouble.THROTTLED_SILENTLY)
    for _ in range(5):
        with pytest.raises(CloudFailed) as failed:
            bench.plan(bench.wanted(3))
        assert failed.value.wait
    assert len(bench.service.exchanges) == 5


# -- permissions and credentials -------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [True, False])
def test_associating_needs_a_permission_of_its_own(plain):
    with workbench(Guesses(plain_denial=plain)) as bench:
        bench.reach(bench.wanted(1))
        bench.deny("vpc:AssociateHaVipInstance")
        with pytest.raises(Forbidden) as denied:
            bench.reach(bench.wish(candidates=("n1", "n2", "n3")))
        assert denied.value.permission == "vpc:AssociateHaVipInstance"


def test_the_quota_is_a_help_and_not_a_need(bench):
    bench.deny("vpc:DescribeVpcLimits")
    assert [one.permission for one in bench.plan(bench.wanted(1)).findings] == ["vpc:DescribeVpcLimits"]
    bench.reach(bench.wanted(1))
    assert FIRST in bench.ours()
    assert bench.plan(bench.wanted(1)).findings == []


def test_a_quota_that_is_too_small_is_found_beforehand(bench):
    bench.estate.quota = 3
    plan = bench.plan(bench.wanted(2))
    assert [str(one.havip) for one in plan.findings] == ["shop/vip-1"]
    bench.reach(bench.wanted(2))
    assert list(bench.ours()) == [FIRST]


def test_wrong_and_expired_credentials_are_refused_without_being_shown(bench):
    for wrong in ({"secretId": "AKIDwrong", "secretKey": SECRET_KEY}, {"secretId": SECRET_ID, "secretKey": "wrong"}):
        with bench.connected(credentials=Credentials(wrong)) as cloud, pytest.raises(Forbidden) as refused:
            cloud.observe(bench.provider.adjust(bench.wanted(1)))
        assert refused.value.permission == ""
        assert not [value for value in wrong.values() if value in str(refused.value)]


def test_temporary_credentials_come_with_their_token():
    with workbench(token=TOKEN) as bench:
        given = {"secretId": SECRET_ID, "secretKey": SECRET_KEY}
        with bench.connected(credentials=Credentials({**given, "token": TOKEN})) as cloud:
            cloud.observe(bench.provider.adjust(bench.wanted(1)))
        with bench.connected(credentials=Credentials(given)) as cloud, pytest.raises(Forbidden):
            cloud.observe(bench.provider.adjust(bench.wanted(1)))


def test_a_new_key_counts_from_the_next_connection_on(bench):
    bench.reach(bench.wanted(1))
    bench.cloud.accounts = {"AKIDnew": Account("AKIDnew", "new-key")}
    with pytest.raises(Forbidden):
        bench.plan(bench.wanted(1))
    bench.credentials = Credentials({"secretId": "AKIDnew", "secretKey": "new-key"})
    assert bench.plan(bench.wanted(1)).changes == []


def test_the_environment_is_used_where_there_is_no_secret(bench, monkeypatch):
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", SECRET_ID)
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", SECRET_KEY)
    bench.credentials = Credentials()
    bench.reach(bench.wanted(1))
    assert FIRST in bench.ours()


# -- loading ---------------------------------------------------------------------------------------------------


def test_the_provider_is_there_without_its_sdk_and_says_what_to_install():
    script = (
        "import sys\n"
        "sys.modules['tencentcloud'] = None\n"
        "from havip_providers.tencent.provider import provider\n"
        "from havip.api.v1alpha1.clouds import TencentSettings\n"
        "from havip.provider import Credentials, Owner, ProviderBroken, Wanted\n"
        "settings = TencentSettings(region='r', vpc_id='v', subnet_id='s')\n"
        "try:\n"
        "    provider.connect(Wanted(Owner('c', 'x'), settings), Credentials({'secretId': 'i', 'secretKey': 'k'}))\n"
        "except ProviderBroken as broken:\n"
        "    print(broken)\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("install havip-operator[tencent]")


def test_importing_the_provider_imports_no_sdk():
    script = "import sys, havip_providers.tencent.provider; print('tencentcloud' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_it_says_what_the_fabric_can_do():
    assert provider.name == "Tencent"
    assert (provider.capabilities.candidates, provider.capabilities.families) == (10, (4,))

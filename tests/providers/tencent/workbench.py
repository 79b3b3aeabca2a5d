"""The emulated service behind a real port, the real SDK before it, and the wishes that tests have."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

from e2e.clouds.service import Service, Trouble
from e2e.clouds.tencent import Account, Estate, Guesses, TencentCloud
from e2e.clouds.tencent.estate import HaVip
from tests.providers.tencent.schema import faults_of_request

from havip.api.v1alpha1.clouds import TencentInstanceType, TencentSettings
from havip.model.address import parse_address
from havip.provider import CloudFailed, CloudNode, Credentials, Owner, Wanted, WantedVip
from havip.testing.memory_cloud import Fault
from havip.testing.provider_contract import key
from havip_providers.tencent.client import Timing
from havip_providers.tencent.mapping import HAVIP_TAG, OWNER_TAG
from havip_providers.tencent.provider import TencentProvider

VPC, SUBNET = "vpc-net1", "subnet-a"
SECRET_ID, SECRET_KEY, TOKEN = "AKIDnobodysidatall0123", "nobodys-secret-key-4567", "nobodys-token-89ab"
NODES = {"n1": "10.0.0.11", "n2": "10.0.0.12", "n3": "10.0.0.13"}
SECOND = {"n1": "10.0.0.21", "n2": "10.0.0.22", "n3": "10.0.0.23"}
"""Of each node's second interface, the one that a HAVIP of type ENI may have."""
OWNER = Owner("0b4c", "edge")
TROUBLES = {
    Fault.THROTTLED: Trouble.THROTTLED,
    Fault.UNAVAILABLE: Trouble.UNAVAILABLE,
    Fault.ANSWER_LOST: Trouble.ANSWER_LOST,
    Fault.STALE: Trouble.STALE,
}


class Clock:
    """Goes on by itself with every question, and by whoever waits."""

    def __init__(self, step: float = 0.3) -> None:
        self.time = 0.0
        self.step = step

    def __call__(self) -> float:
        self.time += self.step
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += seconds


def an_estate(guesses):
    """Three nodes with two interfaces each in one subnet, two EIPs, and things of others."""
    estate = Estate(guesses)
    estate.add_subnet(SUBNET, VPC, "10.0.0.0/24")
    estate.add_subnet("subnet-b", VPC, "10.0.1.0/24")
    estate.add_subnet("subnet-c", "vpc-else", "10.0.0.0/24")
    for node, address in NODES.items():
        estate.add_interface(f"eni-{node}", SUBNET, (address, address.replace(".1", ".21")), instance=f"ins-{node}")
        estate.add_interface(f"eni-{node}-2", SUBNET, (SECOND[node],), instance=f"ins-{node}", primary=False)
    estate.add_interface("eni-x", "subnet-c", (NODES["n1"],), instance="ins-x")
    estate.add_eip("eip-00000001", "203.0.113.1")
    estate.add_eip("eip-00000002", "203.0.113.2", holder="nat-1", holder_type="NAT")
    theirs = {"team": "payments", OWNER_TAG: "ffffffff-edge"}
    estate.create(_a_havip("10.0.0.99", theirs), [("CVM", "ins-n1")])
    estate.create(_a_havip("10.0.0.98", {}), [])
    return estate


def _a_havip(address, tags):
    return HaVip("", "theirs", address, VPC, SUBNET, True, tags=tags)


class TencentWorkbench:
    """`Workbench` of the contract suite, and more levers than that. Every request is checked when it closes."""

    def __init__(self, service, cloud, clock, provider, account):
        self.service, self.cloud, self.clock, self.provider, self.account = service, cloud, clock, provider, account
        self.credentials = Credentials({"secretId": account.secret_id, "secretKey": account.secret_key})
        self.type = TencentInstanceType.CVM

    @property
    def estate(self):
        return self.cloud.estate

    @property
    def settings(self):
        return TencentSettings(
            region="ap-guangzhou",
            vpc_id=VPC,
            subnet_id=SUBNET,
            instance_type=self.type,
            endpoint=self.service.endpoint,
        )

    def wanted(self, vips):
        nodes = tuple(NODES)
        addresses = NODES if self.type == TencentInstanceType.CVM else SECOND
        return Wanted(
            OWNER,
            self.settings,
            tuple(
                WantedVip(
                    key(number),
                    (parse_address(f"10.0.0.{100 + number}"),),
                    (nodes[number % 3], nodes[(number + 1) % 3]),
                    (("TCP", 443),),
                    public_ip="eip-00000001" if number == 1 else None,
                )
                for number in range(vips)
            ),
            tuple(CloudNode(name, (parse_address(address),)) for name, address in addresses.items()),
        )

    def wish(self, *, vips=1, **of_the_first):
        """`wanted`, the first VIP changed as said."""
        wanted = self.wanted(vips)
        return replace(wanted, vips=(replace(wanted.vips[0], **of_the_first), *wanted.vips[1:]))

    def writes(self):
        return self.service.writes()

    def reads(self):
        return len(self.service.exchanges) - self.writes()

    def actions_called(self):
        return [one.request.headers["x-tc-action"] for one in self.service.exchanges]

    def everything(self):
        return {
            "havips": {one.address: _comparable(one) for one in self.estate.havips.values()},
            "eips": {one.id: (one.address, self._holder(one), one.status) for one in self.estate.eips.values()},
            "interfaces": deepcopy(self.estate.interfaces),
        }

    def _holder(self, eip):
        """The VIP instead of the HAVIP's id, which the cloud made up."""
        havip = self.estate.havips.get(eip.holder)
        return havip.address if havip is not None else eip.holder

    def foreign(self):
        """Copies: what the estate changes afterwards would change in both, and never differ."""
        return deepcopy(
            {
                "havips": [one for one in self.estate.havips.values() if one.tags.get(OWNER_TAG) != OWNER.mark],
                "eips": [one for one in self.estate.eips.values() if one.holder_type != "HAVIP" and one.holder],
                "interfaces": self.estate.interfaces,
            }
        )

    def save(self):
        return self.cloud.save()

    def fail(self, fault, *, times):
        for _ in range(times):
            self.service.fail(TROUBLES[fault])

    def actions(self):
        return (
            "vpc:DescribeHaVips",
            "vpc:DescribeNetworkInterfaces",
            "vpc:DescribeSubnets",
            "vpc:DescribeAddresses",
            "vpc:DescribeVpcTaskResult",
            "vpc:CreateHaVip",
            "vpc:DeleteHaVip",
            "vpc:DisassociateHaVipInstance",
            "vpc:HaVipAssociateAddressIp",
            "vpc:HaVipDisassociateAddressIp",
        )

    def deny(self, action):
        self.cloud.denied.add(action)

    # -- as the operator does ----------------------------------------------------------------------------------

    @contextmanager
    def connected(self, wanted=None, credentials=None):
        cloud = self.provider.connect(wanted or self.wanted(0), credentials or self.credentials)
        try:
            yield cloud
        finally:
            cloud.close()

    def plan(self, wanted):
        desired = self.provider.adjust(wanted)
        with self.connected(wanted) as cloud:
            return self.provider.plan(desired, cloud.observe(desired))

    def reach(self, wanted, *, rounds=12):
        """Until nothing is left to do. Returns the changes made."""
        made = []
        for _ in range(rounds):
            desired = self.provider.adjust(wanted)
            with self.connected(wanted) as cloud:
                try:
                    changes = self.provider.plan(desired, cloud.observe(desired)).changes
                    if not changes:
                        return made
                    for change in changes:
                        cloud.apply(change)
                        made.append(change)
                except CloudFailed as failed:
                    if not failed.again:
                        raise
                    self.clock.wait(failed.wait or 0.0)
        raise AssertionError(f"still something to do: {changes}")

    def ours(self):
        """HAVIPs of ours by the name of their HAVip and address."""
        return {
            (one.tags[HAVIP_TAG], one.address): one
            for one in self.estate.havips.values()
            if one.tags.get(OWNER_TAG) == OWNER.mark
        }


def _comparable(havip):
    return (havip.name, havip.vpc, havip.subnet, havip.checked, havip.member_type, sorted(havip.members), havip.eip,
            havip.interface, havip.tags)  # fmt: skip


@contextmanager
def workbench(guesses=None, *, task_seconds=1.0, token=None, step=0.3, timing=None):
    """Tasks take a second of the clock, which goes on by itself; nothing really waits."""
    clock = Clock(step)
    account = Account(SECRET_ID, SECRET_KEY, token)
    estate = an_estate(guesses or Guesses())
    cloud = TencentCloud({account.secret_id: account}, estate, task_seconds=task_seconds, now=clock)
    provider = TencentProvider(timing or Timing(read=2.0, pause=clock.wait, now=clock))
    with Service(cloud).serving() as service:
        yield TencentWorkbench(service, cloud, clock, provider, account)
        for one in service.exchanges:
            faults = faults_of_request(one.request.headers, one.request.body)
            assert not faults, faults

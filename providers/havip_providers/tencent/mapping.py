"""From what a class wants and what the cloud has to what is to be changed. Pure; no SDK, no clock.

One HAVIP per address. It is ours when its tag says so, and then everything about it is ours: who may claim it, and
which EIP it has. Interfaces, instances and EIPs are others': they are referred to and never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network

from havip.api.v1alpha1.clouds import TencentInstanceType
from havip.model.keys import Key
from havip.model.refusal import Refused, shown
from havip.provider import Change, Finding, Holder, Plan, Wanted
from havip_providers.tencent.config import BLOCK, settings_of

OWNER_TAG = "havip-owner"
HAVIP_TAG = "havip"
MEMBERS = 10
"""Most instances or interfaces that one HAVIP may be associated with."""
NAME_LENGTH = 60
NEVER = "0000-00-00 00:00:00"
"""`FlushedTime` of a HAVIP that nobody has ever announced."""
QUOTA = "vpc-max-havips"


# -- what the cloud has ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """Who may claim a HAVIP: an instance (CVM) or one interface (ENI)."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class HaVip:
    """A HAVIP as the cloud shows it. `interface`, `instance`: who holds it; `eip`: an address; "" = none."""

    id: str
    address: str
    vpc: str
    subnet: str
    name: str = ""
    checked: bool = True
    members: frozenset[Member] = frozenset()
    interface: str = ""
    instance: str = ""
    flushed: str = NEVER
    eip: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    def is_of(self, owner: str) -> bool:
        """Whether it has both of the tags that we give; what lacks one is not ours to touch."""
        return dict(self.tags).get(OWNER_TAG) == owner and self.key is not None

    @property
    def key(self) -> Key | None:
        """Of the HAVip it was made for; None for a tag that is no such name."""
        try:
            return Key.parse(dict(self.tags).get(HAVIP_TAG))
        except Refused:
            return None


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface (ENI). `instance` is "" while it is attached to none."""

    id: str
    instance: str
    primary: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Eip:
    """A public address. `holder`: id of what it is bound to, "" = nothing. `trouble`: "" = it can be bound."""

    id: str
    address: str
    holder: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    vpc: str
    range: IPv4Network | None


@dataclass(frozen=True, slots=True)
class Observed:
    """`quota`: HAVIPs that the VPC may have, None = not asked, or not told. `lacking`: a permission that would tell."""

    havips: tuple[HaVip, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    subnet: Subnet | None = None
    eips: tuple[Eip, ...] = ()
    quota: int | None = None
    lacking: str = ""


# -- what is wanted ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WantedHaVips:
    """One HAVip: a HAVIP for each of its addresses; the EIP, by its id, belongs to the first."""

    key: Key
    addresses: tuple[str, ...]
    nodes: tuple[str, ...]
    eip: str | None
    refused: tuple[Finding, ...] = ()
    leaving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Desired:
    owner: str
    vpc: str
    subnet: str
    type: str
    vips: tuple[WantedHaVips, ...]
    nodes: Mapping[str, tuple[str, ...]]
    """A node's own IPv4 addresses by its name."""
    kept: frozenset[Key] = field(default_factory=frozenset)

    @property
    def eips(self) -> tuple[str, ...]:
        return tuple(sorted({vip.eip for vip in self.vips if vip.eip is not None and not vip.refused}))


def adjust(wanted: Wanted) -> Desired:
    """Raises `Invalid` for a class without settings. What is wrong with one VIP is a finding, not a refusal of all."""
    settings = settings_of(wanted.settings)
    return Desired(
        wanted.owner.mark,
        settings.vpc_id,
        settings.subnet_id,
        settings.instance_type.value,
        tuple(
            WantedHaVips(
                vip.havip,
                tuple(str(address) for address in vip.addresses if address.version == 4),
                tuple(sorted(set(vip.candidates))),
                vip.public_ip,
                tuple(_refused(vip.havip, map(str, (one for one in vip.addresses if one.version == 6)), vip.public_ip)),
                frozenset(vip.leaving),
            )
            for vip in wanted.vips
        ),
        {node.name: tuple(str(one) for one in node.addresses if one.version == 4) for node in wanted.nodes},
        wanted.kept,
    )


def _refused(key: Key, six: Iterable[str], public_ip: str | None) -> Iterator[Finding]:
    for address in six:
        yield Finding(key, "spec.addresses", f"{address} is an IPv6 address; a HAVIP carries IPv4 only")
    if public_ip is not None and not public_ip.startswith("eip-"):
        yield Finding(key, "spec.publicIp", f"must be the id of an EIP such as eip-11112222, not {shown(public_ip)}")


# -- changes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Change):
    """A HAVIP with its members and tags, in one call. `token` makes the same call twice one HAVIP."""

    vpc: str
    subnet: str
    address: str
    name: str
    members: tuple[Member, ...]
    tags: tuple[tuple[str, str], ...]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Associate(Change):
    """Let more members claim it."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disassociate(Change):
    """Let fewer members claim it."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindEip(Change):
    """`havip` is "" for one that this plan makes: it is then found by `vpc`, `address` and `owner`."""

    havip: str
    vpc: str
    address: str
    owner: str
    eip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbindEip(Change):
    """Take the EIP off; what it is bound to then is its owner's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Change):
    """Its EIP and its members are gone by then."""


UNBIND, NARROW_FIRST, DELETE, CREATE, WIDEN, NARROW, BIND = range(7)
"""The stages. What goes leaves before what comes, for an address or an EIP may go from one HAVip to another."""


def token_of(*parts: str) -> str:
    """48 characters of ASCII (the cloud takes 64) that differ whenever anything about the request does."""
    return blake2b("\0".join(parts).encode(), digest_size=24).hexdigest()


def name_of(key: Key) -> str:
    """For people, in the console; nothing is decided by it."""
    name = f"havip-{key.namespace}-{key.name}"
    if len(name) <= NAME_LENGTH:
        return name
    return f"{name[: NAME_LENGTH - 9]}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


# -- the plan ----------------------------------------------------------------------------------------------------


def plan(desired: Desired, observed: Observed) -> Plan:
    """Findings first; what they block stays as it is, and so does what is to be kept."""
    return _Planning(desired, observed).plan()


class _Planning:
    """One pass: an index of what there is, then findings, then changes."""

    def __init__(self, desired: Desired, observed: Observed) -> None:
        self.desired = desired
        self.observed = observed
        self.ours = [one for one in observed.havips if one.is_of(desired.owner)]
        self.at = {address: one for one in observed.interfaces for address in one.addresses}
        self.eips = {one.id: one for one in observed.eips}
        self.findings: list[Finding] = []
        self.left: set[Key] = set(desired.kept)

    def plan(self) -> Plan:
        for vip in self.desired.vips:
            self.find(self.flaws(vip))
        # What a blocked VIP keeps may be what another one waits for, which blocks that one too.
        while self.find(self.collisions()):
            pass
        self.find(self.beyond_the_quota())
        self.find(self.warnings())
        changes = [*self.giving_back(), *self.making()]
        return Plan(sorted(changes, key=lambda one: one.stage), self.findings, self.holders())

    def find(self, found: Iterable[Finding]) -> bool:
        """Takes note of them. True = something is blocked that was not."""
        before = len(self.left)
        found = list(found)
        self.findings += found
        self.left |= {one.havip for one in found if one.blocks and one.havip is not None}
        return len(self.left) > before

    # -- findings --------------------------------------------------------------------------------------------

    def flaws(self, vip: WantedHaVips) -> Iterator[Finding]:
        """What is wrong with one VIP, whatever becomes of the others."""
        if vip.key in self.desired.kept:
            return
        yield from vip.refused
        for address in vip.addresses:
            yield from self.misplaced(vip.key, address)
        yield from self.unreachable(vip)
        if vip.eip is not None and not vip.refused:
            yield from self.unusable(vip)

    def misplaced(self, key: Key, address: str) -> Iterator[Finding]:
        subnet = self.observed.subnet
        if subnet is None or subnet.vpc != self.desired.vpc:
            where = "" if subnet is None else f"; it is in {subnet.vpc}"
            yield Finding(key, f"{BLOCK}.subnetId", f"{self.desired.vpc} has no subnet {self.desired.subnet}{where}")
        elif subnet.range is None or IPv4Address(address) not in subnet.range:
            there = f"{subnet.id} ({subnet.range or 'no IPv4'})"
            yield Finding(key, "spec.addresses", f"{address} is not in {there}")
        other = self.havip_at(address)
        if other is None and address in self.at:  # a HAVIP that is bound might be shown at its interface as well
            yield Finding(key, "spec.addresses", f"{address} is taken: {self.at[address].id} has it as its own")
        if other is not None and not other.is_of(self.desired.owner):
            yield Finding(key, "spec.addresses", f"{address} is taken by {other.id}, which is not ours")

    def unreachable(self, vip: WantedHaVips) -> Iterator[Finding]:
        lost = [node for node in vip.nodes if self.interface_of(node) is None]
        if lost:
            yield Finding(
                vip.key,
                "",
                f"no network interface in {self.desired.subnet} has an address of {', '.join(lost)}; a HAVIP reaches"
                " nodes of its own subnet only",
                # A server that was deleted with its Node still there must not keep its successor out.
                blocks=len(lost) == len(vip.nodes) or not vip.leaving.issuperset(lost),
            )
        there = [(node, one) for node in vip.nodes if (one := self.interface_of(node)) is not None]
        if loose := [f"{one.id} of {node}" for node, one in there if not one.instance]:
            yield Finding(vip.key, "", f"attached to no instance: {', '.join(loose)}")
        if self.desired.type == TencentInstanceType.ENI and (
            primary := [f"{one.id} of {node}" for node, one in there if one.primary]
        ):
            yield Finding(
                vip.key,
                f"{BLOCK}.instanceType",
                f"ENI takes no primary network interface, and these are: {', '.join(primary)}; use CVM, or give the"
                " nodes a second interface",
            )
        if len(vip.nodes) > MEMBERS:
            yield Finding(vip.key, "spec.nodes", f"a HAVIP takes at most {MEMBERS} candidates, not {len(vip.nodes)}")

    def unusable(self, vip: WantedHaVips) -> Iterator[Finding]:
        eip = self.eips.get(vip.eip or "")
        if eip is None:
            yield Finding(vip.key, "spec.publicIp", f"there is no EIP {vip.eip} in the region")
        elif eip.trouble and not self.is_bound(vip, eip):
            yield Finding(vip.key, "spec.publicIp", f"{eip.id} ({eip.address}) {eip.trouble}")

    def collisions(self) -> Iterator[Finding]:
        """Addresses and EIPs that something else has and keeps."""
        staying = {one.id for one in self.ours if self.stays(one)}
        claimed: dict[str, Key] = {}
        for vip in self.desired.vips:
            if vip.key in self.left:
                continue
            for address in vip.addresses:
                there = self.havip_at(address)
                if there is not None and there.key != vip.key and there.id in staying:
                    yield Finding(vip.key, "spec.addresses", f"{address} is taken by {there.id} of {there.key}")
            eip = self.eips.get(vip.eip or "")
            if eip is None:
                continue
            if (first := claimed.setdefault(eip.id, vip.key)) != vip.key:
                yield Finding(vip.key, "spec.publicIp", f"{eip.id} ({eip.address}) is wanted by {first} too")
            elif eip.holder and not self.is_bound(vip, eip) and not self.lets_go(eip, staying):
                yield Finding(
                    vip.key, "spec.publicIp", f"{eip.id} ({eip.address}) is bound to {eip.holder}; unbind it there"
                )

    def beyond_the_quota(self) -> Iterator[Finding]:
        if self.observed.quota is None:
            return
        there = [one for one in self.observed.havips if one.vpc == self.desired.vpc]
        free = self.observed.quota - len(there) + len([one for one in there if self.goes(one)])
        for vip in self.desired.vips:
            missing = [address for address in vip.addresses if self.mine(vip, address) is None]
            if vip.key in self.left or not missing:
                continue
            free -= len(missing)
            if free < 0:
                yield Finding(
                    vip.key,
                    "",
                    f"{self.desired.vpc} may have {self.observed.quota} HAVIPs ({QUOTA}) and has {len(there)}; ask for"
                    " a higher quota",
                )

    def warnings(self) -> Iterator[Finding]:
        """`CheckAssociate` cannot be changed by the API, and making the HAVIP anew would take the address away from a
        node that serves: for seconds nobody would hold it, and then whoever announces first. So it goes on as it is,
        and whoever switched it off is told.
        """
        for vip in self.desired.vips:
            for address in vip.addresses:
                one = self.mine(vip, address)
                if one is not None and not one.checked and vip.key not in self.left:
                    yield Finding(
                        vip.key,
                        "",
                        f"any host of {one.subnet} may claim {address}: {one.id} does not check who is associated, and"
                        " no call changes that; switch the check on in the console, or delete it there and it is made"
                        " anew",
                        blocks=False,
                    )
        if self.observed.lacking:
            yield Finding(
                None,
                "",
                f"whether the VPC's quota {QUOTA} suffices is not known",
                blocks=False,
                permission=self.observed.lacking,
            )

    # -- changes ---------------------------------------------------------------------------------------------

    def giving_back(self) -> Iterator[Change]:
        """EIP, then members, then the HAVIP itself: it can be deleted only when nothing is bound to it."""
        for one in self.ours:
            if not self.goes(one):
                continue
            havips = (one.key,) if one.key is not None else ()
            if one.eip:
                yield UnbindEip(stage=UNBIND, on=one.id, what=f"take {one.eip} off {one.id}", havips=havips)
            if one.members:
                yield self.narrowed(one, one.members, havips, stage=NARROW_FIRST)
            yield Delete(stage=DELETE, on=one.id, what=f"delete {one.id} ({one.address})", havips=havips)

    def making(self) -> Iterator[Change]:
        for vip in self.desired.vips:
            if vip.key in self.left:
                continue
            members = self.members_of(vip)
            for address in vip.addresses:
                one = self.mine(vip, address)
                if one is None:
                    yield self.create(vip.key, address, members)
                else:
                    yield from self.ranged(one, members, (vip.key,))
                yield from self.published(vip, address, one)

    def create(self, key: Key, address: str, members: frozenset[Member]) -> Create:
        ordered = tuple(sorted(members))
        tags = ((OWNER_TAG, self.desired.owner), (HAVIP_TAG, str(key)))
        names = [part for member in ordered for part in (member.type, member.id)]
        return Create(
            stage=CREATE,
            on=f"{self.desired.vpc}/{address}",
            what=f"create a HAVIP {address} in {self.desired.subnet} for {_listed(ordered)}",
            havips=(key,),
            vpc=self.desired.vpc,
            subnet=self.desired.subnet,
            address=address,
            name=name_of(key),
            members=ordered,
            tags=tags,
            token=token_of(self.desired.owner, str(key), self.desired.vpc, self.desired.subnet, address, *names),
        )

    def ranged(self, one: HaVip, members: frozenset[Member], havips: tuple[Key, ...]) -> Iterator[Change]:
        """New members come before old ones go, unless there are too many or they are of another type: a HAVIP takes
        one type only.
        """
        come, go = members - one.members, one.members - members
        if come:
            ordered = tuple(sorted(come))
            yield Associate(
                stage=WIDEN, on=one.id, what=f"let {_listed(ordered)} claim {one.id} ({one.address})", havips=havips,
                members=ordered,
            )  # fmt: skip
        if go:
            first = len(one.members | members) > MEMBERS or len({member.type for member in one.members | members}) > 1
            yield self.narrowed(one, go, havips, stage=NARROW_FIRST if first and come else NARROW)

    @staticmethod
    def narrowed(one: HaVip, go: Iterable[Member], havips: tuple[Key, ...], *, stage: int) -> Disassociate:
        ordered = tuple(sorted(go))
        what = f"let {_listed(ordered)} claim {one.id} ({one.address}) no more"
        return Disassociate(stage=stage, on=one.id, what=what, havips=havips, members=ordered)

    def published(self, vip: WantedHaVips, address: str, one: HaVip | None) -> Iterator[Change]:
        """The EIP of the first address. One that somebody put on our HAVIP by hand goes: the HAVip says what it has."""
        eip = self.eips[vip.eip].address if vip.eip is not None and address == vip.addresses[0] else ""
        there = one.eip if one is not None else ""
        if eip == there:
            return
        if there and one is not None:
            yield UnbindEip(stage=UNBIND, on=one.id, what=f"take {there} off {one.id}", havips=(vip.key,))
        if eip:
            yield BindEip(
                stage=BIND,
                on=one.id if one is not None else f"{self.desired.vpc}/{address}",
                what=f"bind {eip} to the HAVIP {address}",
                havips=(vip.key,),
                havip=one.id if one is not None else "",
                vpc=self.desired.vpc,
                address=address,
                owner=self.desired.owner,
                eip=eip,
            )

    # -- questions -------------------------------------------------------------------------------------------

    def havip_at(self, address: str) -> HaVip | None:
        """Whosoever it is. An address is unique within a VPC."""
        found = (one for one in self.observed.havips if one.vpc == self.desired.vpc and one.address == address)
        return next(found, None)

    def mine(self, vip: WantedHaVips, address: str) -> HaVip | None:
        one = self.havip_at(address)
        return one if one is not None and self.is_for(one, vip) else None

    def is_for(self, one: HaVip, vip: WantedHaVips) -> bool:
        return (
            one.is_of(self.desired.owner)
            and one.key == vip.key
            and (one.vpc, one.subnet) == (self.desired.vpc, self.desired.subnet)
            and one.address in vip.addresses
        )

    def goes(self, one: HaVip) -> bool:
        """Ours, wanted by no HAVip, and not to be left."""
        return one.is_of(self.desired.owner) and not self.stays(one)

    def stays(self, one: HaVip) -> bool:
        return one.key in self.left or any(self.is_for(one, vip) for vip in self.desired.vips)

    def is_bound(self, vip: WantedHaVips, eip: Eip) -> bool:
        one = self.mine(vip, vip.addresses[0]) if vip.addresses else None
        return one is not None and one.eip == eip.address

    def lets_go(self, eip: Eip, staying: set[str]) -> bool:
        """Whether this plan takes the EIP off what it is bound to."""
        there = next((one for one in self.ours if one.eip == eip.address), None)
        if there is None or there.key in self.left:
            return False
        if there.id not in staying:
            return True
        vip = next(vip for vip in self.desired.vips if self.is_for(there, vip))
        return vip.eip != eip.id or there.address != vip.addresses[0]

    def interface_of(self, node: str) -> Interface | None:
        addresses = self.desired.nodes.get(node, ())
        return next((self.at[address] for address in addresses if address in self.at), None)

    def members_of(self, vip: WantedHaVips) -> frozenset[Member]:
        whole = self.desired.type == TencentInstanceType.CVM
        found = [one for node in vip.nodes if (one := self.interface_of(node)) is not None]
        return frozenset(Member(self.desired.type, one.instance if whole else one.id) for one in found)

    def holders(self) -> dict[Key, Holder]:
        """By the cloud's own word. An interface says more than an instance, which may have several."""
        nodes: dict[str, str] = {}
        for node in sorted(self.desired.nodes):
            if (interface := self.interface_of(node)) is not None:
                nodes |= {interface.id: node, interface.instance: node}
        asked = {vip.key for vip in self.desired.vips} | self.desired.kept
        out: dict[Key, Holder] = {}
        for one in sorted(self.ours, key=lambda one: one.address):
            if one.key is None or one.key not in asked or not (one.interface or one.instance):
                continue
            node = nodes.get(one.interface) or nodes.get(one.instance) or ""
            since = "" if one.flushed == NEVER else one.flushed
            out.setdefault(one.key, Holder(node, one.instance or one.interface, since))
        return out


def _listed(members: Sequence[Member]) -> str:
    return ", ".join(member.id for member in members) or "nobody"

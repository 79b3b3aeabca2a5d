"""What there is in a region: subnets, interfaces, EIPs, HAVIPs, and what follows from announcing an address.

Typed state and its rules. Nothing here knows HTTP or JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

from e2e.clouds.tencent.refusal import Refused

NEVER = "0000-00-00 00:00:00"
MEMBERS = 10
NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Guesses:
    """What the documents leave open. The defaults are the stricter reading, or the likelier one where none is.

    `range_unbinds`: to disassociate the member that holds a HAVIP unbinds it.
    `delete_needs_unbound`: DeleteHaVip refuses a HAVIP that somebody holds (AVAILABLE).
    `delete_needs_no_members`: DeleteHaVip refuses a HAVIP with members.
    `tokens_outlive`: a ClientToken answers as before even where its HAVIP has been deleted since.
    `task_known_at_once`: DescribeVpcTaskResult knows a task from its first second on.
    `plain_denial`: a missing permission is UnauthorizedOperation; else AuthFailure.UnauthorizedOperation.
    `shown_at_interface`: a HAVIP that is bound is listed among the addresses of its interface.
    `tags_shown_at_once`: the first list after a HAVIP was made shows its tags.
    `zone_hours`: times are written this many hours east of UTC.
    """

    range_unbinds: bool = True
    delete_needs_unbound: bool = True
    delete_needs_no_members: bool = True
    tokens_outlive: bool = True
    task_known_at_once: bool = True
    plain_denial: bool = True
    shown_at_interface: bool = False
    tags_shown_at_once: bool = True
    zone_hours: int = 8


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    vpc: str
    range: IPv4Network


@dataclass(slots=True)
class Interface:
    """`instance`: "" = attached to none."""

    id: str
    vpc: str
    subnet: str
    addresses: tuple[str, ...]
    instance: str = ""
    primary: bool = True


@dataclass(slots=True)
class Eip:
    """`holder`: id of what it is bound to."""

    id: str
    address: str
    holder: str = ""
    holder_type: str = ""
    status: str = "UNBIND"
    in_arrears: bool = False


@dataclass(slots=True)
class HaVip:
    """`interface`: who holds it, "" = nobody. `members`: ids of instances or of interfaces, by `member_type`."""

    id: str
    name: str
    address: str
    vpc: str
    subnet: str
    checked: bool
    members: list[str] = field(default_factory=list)
    member_type: str = ""
    interface: str = ""
    instance: str = ""
    flushed: str = NEVER
    eip: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    created: str = ""
    lists: int = field(default=0, compare=False)
    """How many times it was listed."""

    @property
    def state(self) -> str:
        return "AVAILABLE" if self.interface else "UNBIND"


@dataclass(frozen=True, slots=True)
class Holding:
    """Who has a HAVIP, and since when."""

    instance: str
    interface: str
    flushed: str


@dataclass(slots=True)
class Estate:
    """One region. `quota`: HAVIPs per VPC. `lose_announcements`: how many of the next ones go unheard."""

    guesses: Guesses = field(default_factory=Guesses)
    quota: int = 100
    lose_announcements: int = 0
    subnets: dict[str, Subnet] = field(default_factory=dict)
    interfaces: dict[str, Interface] = field(default_factory=dict)
    eips: dict[str, Eip] = field(default_factory=dict)
    havips: dict[str, HaVip] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    """Further addresses in use, and by what."""
    made: int = 0

    # -- furnishing ------------------------------------------------------------------------------------------

    def add_subnet(self, subnet: str, vpc: str, cidr: str) -> None:
        self.subnets[subnet] = Subnet(subnet, vpc, IPv4Network(cidr))

    def add_interface(
        self, interface: str, subnet: str, addresses: Iterable[str], *, instance: str = "", primary: bool = True
    ) -> None:
        vpc = self.subnets[subnet].vpc
        self.interfaces[interface] = Interface(interface, vpc, subnet, tuple(addresses), instance, primary)

    def add_eip(self, eip: str, address: str, *, holder: str = "", holder_type: str = "") -> None:
        self.eips[eip] = Eip(eip, address, holder, holder_type, "BIND" if holder else "UNBIND")

    # -- what a fabric asks ----------------------------------------------------------------------------------

    def announce(self, by: str, address: str) -> bool:
        """A gratuitous ARP for `address` from an interface, or from an instance's first one. False = to no effect."""
        interface = self.interfaces.get(by) or self._first_of(by)
        havip = None if interface is None else self.at(interface.vpc, address)
        if interface is None or havip is None or not self.allows(havip, interface):
            return False
        if self.lose_announcements > 0:
            self.lose_announcements -= 1
            return False
        if havip.interface != interface.id:
            havip.interface, havip.instance = interface.id, interface.instance
            havip.flushed = self.time()
        return True

    def may_announce(self, address: str, *, vpc: str = "") -> frozenset[str]:
        """The interfaces that the fabric lets claim an address."""
        havip = self.at(vpc, address)
        return frozenset(
            one.id for one in self.interfaces.values() if havip is not None and self.allows(havip, one)
        )  # fmt: skip

    def holder(self, address: str, *, vpc: str = "") -> Holding | None:
        """Where packets to an address go. None = nowhere."""
        havip = self.at(vpc, address)
        if havip is None or not havip.interface:
            return None
        return Holding(havip.instance, havip.interface, havip.flushed)

    def behind(self, eip: str) -> str | None:
        """The VIP that a public address leads to."""
        return next((one.address for one in self.havips.values() if one.eip == eip), None)

    def owner_of(self, address: str, *, vpc: str = "") -> Interface | None:
        """The interface that has it as an address of its own."""
        found = (one for one in self.interfaces.values() if address in one.addresses and vpc in ("", one.vpc))
        return next(found, None)

    # -- rules -----------------------------------------------------------------------------------------------

    def at(self, vpc: str, address: str) -> HaVip | None:
        """`vpc` "" = any."""
        found = (one for one in self.havips.values() if one.address == address and vpc in ("", one.vpc))
        return next(found, None)

    def allows(self, havip: HaVip, interface: Interface) -> bool:
        """Hosts of the HAVIP's own subnet only, and with the check on only its members."""
        if interface.subnet != havip.subnet or not interface.instance:
            return False
        if not havip.checked:
            return True
        if havip.member_type == "ENI":
            return interface.id in havip.members
        return interface.instance in havip.members

    def create(self, havip: HaVip, members: list[tuple[str, str]]) -> HaVip:
        """Give it an id and a place. Raises `Refused`."""
        subnet = self.subnets.get(havip.subnet)
        if subnet is None or subnet.vpc != havip.vpc:
            raise Refused("ResourceNotFound", f"The subnet {havip.subnet} is not found in {havip.vpc}.")
        if len(havip.name) > NAME_LENGTH:
            raise Refused("InvalidParameterValue.TooLong", "HaVipName is too long.")
        havip.address = havip.address or self._free(subnet)
        address = IPv4Address(havip.address)
        if address not in subnet.range:
            raise Refused("InvalidParameterValue.Range", f"{address} is not in {subnet.range}.")
        if address in (subnet.range[0], subnet.range[1], subnet.range[-1]):
            raise Refused("InvalidParameterValue.Reserved", f"{address} is reserved.")
        if self.uses(havip.vpc, havip.address):
            raise Refused("ResourceInUse.Address", f"{address} is in use.")
        if sum(one.vpc == havip.vpc for one in self.havips.values()) >= self.quota:
            raise Refused("LimitExceeded", "The quota vpc-max-havips is exhausted.")
        self._admit(havip, members)
        self.made += 1
        havip.id, havip.created = f"havip-{self.made:08x}", self.time()
        self.havips[havip.id] = havip
        return havip

    def find(self, havip: str) -> HaVip:
        if havip not in self.havips:
            raise Refused("ResourceNotFound", f"The HAVIP {havip} is not found.")
        return self.havips[havip]

    def associate(self, wanted: list[tuple[str, str, str]]) -> None:
        """(HAVIP, type, member) each; all or nothing."""
        for havip_id in dict.fromkeys(one[0] for one in wanted):
            havip = self.find(havip_id)
            members = [(kind, member) for of, kind, member in wanted if of == havip_id]
            self._admit(havip, members)

    def _admit(self, havip: HaVip, members: list[tuple[str, str]]) -> None:
        if len(havip.members) + len(members) > MEMBERS:
            raise Refused("InvalidParameterValue.LimitExceeded", f"A HAVIP takes {MEMBERS} instances.")
        kinds = {kind for kind, _ in members} | ({havip.member_type} if havip.members else set())
        if not kinds <= {"CVM", "ENI"} or len(kinds) > 1:
            raise Refused("UnsupportedOperation", "A HAVIP takes instances of one type, CVM or ENI.")
        names = [member for _, member in members]
        if len(set(names)) < len(names) or set(names) & set(havip.members):
            raise Refused("InvalidParameterValue.DuplicatedHaVipAssociations", "The association exists.")
        for kind, member in members:
            self._bindable(havip, kind, member)
        havip.members += names
        havip.member_type = next(iter(kinds), "")

    def _bindable(self, havip: HaVip, kind: str, member: str) -> None:
        interface = self.interfaces.get(member) if kind == "ENI" else self._first_of(member)
        if interface is None or interface.vpc != havip.vpc:
            raise Refused("ResourceNotFound", f"{member} is not found in {havip.vpc}.")
        if kind == "ENI" and interface.primary:
            raise Refused("UnsupportedOperation", f"{member} is a primary network interface.")
        if not interface.instance:
            raise Refused("UnsupportedOperation", f"{member} is attached to no instance.")

    def disassociate(self, wanted: list[tuple[str, str, str]]) -> None:
        for havip_id, _, member in wanted:
            if member not in self.find(havip_id).members:
                raise Refused("ResourceNotFound", f"{member} is not associated with {havip_id}.")
        for havip_id, kind, member in wanted:
            havip = self.havips[havip_id]
            havip.members.remove(member)
            if self.guesses.range_unbinds and member == (havip.interface if kind == "ENI" else havip.instance):
                havip.interface, havip.instance, havip.flushed = "", "", self.time()
            if not havip.members:
                havip.member_type = ""

    def check_delete(self, havip: HaVip) -> None:
        if havip.eip:
            raise Refused("UnsupportedOperation.BindEIP", f"{havip.id} is bound to an EIP.")
        if havip.members and self.guesses.delete_needs_no_members:
            raise Refused("UnsupportedOperation", f"{havip.id} is associated with instances.")
        if havip.interface and self.guesses.delete_needs_unbound:
            raise Refused("ResourceInUse", f"{havip.id} is bound to {havip.interface}.")

    def check_bind(self, havip: HaVip, address: str) -> Eip:
        eip = next((one for one in self.eips.values() if one.address == address), None)
        if eip is None:
            raise Refused("InvalidParameterValue.AddressIpNotFound", f"The EIP {address} is not found.")
        if havip.eip:
            raise Refused("UnsupportedOperation.BindEIP", f"{havip.id} is bound to an EIP.")
        if eip.in_arrears:
            raise Refused("UnsupportedOperation.AddressIpInArrear", f"{address} is in arrears.")
        if eip.status != "UNBIND":
            raise Refused("UnsupportedOperation.AddressIpStatusNotPermit", f"{address} is {eip.status}.")
        return eip

    def bind(self, havip: HaVip, eip: Eip) -> None:
        havip.eip = eip.address
        eip.holder, eip.holder_type, eip.status = havip.id, "HAVIP", "BIND"

    def check_unbind(self, havip: HaVip) -> Eip:
        eip = next((one for one in self.eips.values() if one.address == havip.eip), None)
        if eip is None:
            raise Refused("UnsupportedOperation.UnbindEIP", f"{havip.id} is bound to no EIP.")
        return eip

    def unbind(self, havip: HaVip, eip: Eip) -> None:
        havip.eip, eip.holder, eip.holder_type, eip.status = "", "", "", "UNBIND"

    def uses(self, vpc: str, address: str) -> bool:
        return (
            address in self.taken
            or self.at(vpc, address) is not None
            or self.owner_of(address, vpc=vpc) is not None
        )  # fmt: skip

    def time(self) -> str:
        """As the service writes it: no zone, whole seconds."""
        return (datetime.now(UTC) + timedelta(hours=self.guesses.zone_hours)).strftime("%Y-%m-%d %H:%M:%S")

    def _first_of(self, instance: str) -> Interface | None:
        own = [one for one in self.interfaces.values() if one.instance == instance]
        return next((one for one in own if one.primary), own[0] if own else None)

    def _free(self, subnet: Subnet) -> str:
        hosts = (str(one) for one in list(subnet.range)[2:-1])
        free = next((one for one in hosts if not self.uses(subnet.vpc, one)), None)
        if free is None:
            raise Refused("ResourceInsufficient.Subnet", f"{subnet.id} is full.")
        return free

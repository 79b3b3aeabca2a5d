"""May this HAVip have what it asks for? What CEL cannot say, because it takes more than one object to know.

A refusal is a value that names the field, what was found and what would be accepted. It never takes away what
works: a HAVip that holds instances keeps them, and only new grants are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network

from havip.api.v1alpha1 import AllowedNamespaces, HAVipClass
from havip.model.address import Address, Network, parse_network, parse_virtual_address
from havip.model.keys import Key
from havip.model.node import Frontend
from havip.model.refusal import Refused, shown
from havip.plan.classes import Problem, class_name_of, default_classes, missing
from havip.plan.observed import Observed, quarantined, selects
from havip.plan.reasons import Reason
from havip.plan.snapshot import SeenHAVip

NAMED = 5  # how many examples a message gives


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one HAVip's wishes.

    `problems`: why it gets nothing new; empty = admitted. `frontends`: those whose pool exists; `poolless`: names of
    the pools that do not. `holds`: it has instances already, which stay whatever `problems` says.
    """

    key: Key
    seen: SeenHAVip
    class_name: str | None
    addresses: tuple[Address, ...]
    frontends: tuple[Frontend, ...]
    poolless: tuple[str, ...]
    holds: bool
    problems: tuple[Problem, ...] = ()

    @property
    def admitted(self) -> bool:
        return not self.problems

    @property
    def wants(self) -> bool:
        """Whether it counts as a claim on its addresses."""
        return self.admitted or self.holds


@lru_cache(maxsize=1024)
def network(text: str) -> Network:
    return parse_network(text)


@lru_cache(maxsize=8192)
def virtual_address(text: str) -> Address:
    return parse_virtual_address(text)


def judge(observed: Observed) -> dict[Key, Verdict]:
    """A verdict for every HAVip that is not being deleted, oldest first."""
    return _without_conflicts(Admission(observed).verdicts(), observed)


class Admission:
    """The rules that look at one HAVip and everything that is no HAVip."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._defaults = default_classes(observed)
        self._owners = _owners(observed)
        self._networks = {own.network for member in observed.members.values() for own in member.own}
        self._edges = _subnet_edges(self._networks)

    def verdicts(self) -> list[Verdict]:
        havips = self._observed.snapshot.havips
        return [self._verdict(key, havips[key]) for key in sorted(havips, key=_age(havips)) if self._lives(key)]

    def _lives(self, key: Key) -> bool:
        return self._observed.snapshot.havips[key].metadata.deleting is None

    def _verdict(self, key: Key, seen: SeenHAVip) -> Verdict:
        found = class_name_of(seen, self._observed, self._defaults)
        problems: list[Problem] = [found] if isinstance(found, Problem) else []
        name = found if isinstance(found, str) else None
        addresses = self._addresses(seen, problems)
        if name is not None:
            lacking = missing(name, seen, self._observed)
            if lacking:
                problems.append(lacking)
            else:
                problems.extend(self._by_class(seen, addresses, self._observed.snapshot.classes[name].object))
        frontends, poolless = self._frontends(key, seen)
        return Verdict(
            key=key,
            seen=seen,
            class_name=name,
            addresses=addresses,
            frontends=frontends,
            poolless=poolless,
            holds=name is not None and holds(key, name, addresses, self._observed),
            problems=tuple(problems),
        )

    def _addresses(self, seen: SeenHAVip, problems: list[Problem]) -> tuple[Address, ...]:
        out = []
        for index, text in enumerate(seen.object.spec.addresses):
            try:
                out.append(virtual_address(text))
            except Refused as refused:
                problems.append(Problem(Reason.ADDRESS_INVALID, f"spec.addresses[{index}]: {refused.message}"))
        return tuple(out)

    def _by_class(self, seen: SeenHAVip, addresses: tuple[Address, ...], of: HAVipClass) -> Iterable[Problem]:
        yield from self._namespace(seen.metadata.namespace, of.spec.namespaces, _class_of(seen))
        yield from _public_ip(seen, of)
        for index, address in enumerate(addresses):
            yield from self._address(f"spec.addresses[{index}]", address, of)
        for index, frontend in enumerate(seen.object.spec.frontends):
            if frontend.port in of.spec.reserved_ports:
                reserved = ", ".join(map(str, sorted(of.spec.reserved_ports)))
                yield Problem(
                    Reason.PORT_RESERVED,
                    f"spec.frontends[{index}].port: {frontend.port} is reserved by the class; any port but {reserved}"
                    " would be accepted",
                )

    def _namespace(self, namespace: str, allowed: AllowedNamespaces, class_name: str) -> Iterable[Problem]:
        if allowed.all is not None or namespace in (allowed.names or ()):
            return
        labels = self._observed.snapshot.namespaces.get(namespace, {})
        if allowed.selector is not None and selects(allowed.selector, labels):
            return
        wanted = (
            f"namespaces {', '.join(sorted(allowed.names)[:NAMED])}"
            if allowed.names is not None
            else f"namespaces labelled {_labels(allowed.selector.match_labels if allowed.selector else {})}"
        )
        yield Problem(
            Reason.NAMESPACE_NOT_ALLOWED,
            f"metadata.namespace: {class_name} does not take HAVips from namespace {shown(namespace)}; accepted would"
            f" be {wanted}",
        )

    def _address(self, field: str, address: Address, of: HAVipClass) -> Iterable[Problem]:
        ranges = _ranges(of)
        around = [one for one in ranges if one.version == address.version and address in one]
        if not around:
            listed = ", ".join(sorted(of.spec.address_ranges)[:NAMED])
            yield Problem(
                Reason.ADDRESS_OUTSIDE_RANGES,
                f"{field}: {address} is outside the class's addressRanges; an address in {listed} would be accepted",
            )
        edge = self._edges.get(address)
        if edge is None and not any(address in one for one in self._networks if one.version == address.version):
            # Where no node's subnet says better, a range is taken for one.
            edge = next(filter(None, (_edge(address, one) for one in around)), None)
        if edge:
            yield Problem(
                Reason.ADDRESS_NOT_ASSIGNABLE,
                f"{field}: {address} is {edge}; another address of the class's addressRanges would be accepted",
            )
        owner = self._owners.get(address)
        if owner:
            yield Problem(
                Reason.ADDRESS_IN_USE,
                f"{field}: {address} belongs to {owner}; an address that nothing else uses would be accepted",
            )

    def _frontends(self, key: Key, seen: SeenHAVip) -> tuple[tuple[Frontend, ...], tuple[str, ...]]:
        """Sorted by name, so that an edit that only moves lines changes nothing."""
        there: list[Frontend] = []
        poolless: set[str] = set()
        for one in seen.object.spec.frontends:
            pool = Key(key.namespace, one.pool_ref.name)
            if pool in self._observed.snapshot.pools:
                there.append(Frontend(one.name, one.port, one.protocol, pool))
            else:
                poolless.add(pool.name)
        return tuple(sorted(there, key=lambda frontend: frontend.name)), tuple(sorted(poolless))


def _public_ip(seen: SeenHAVip, of: HAVipClass) -> Iterable[Problem]:
    """Whoever may make a HAVip must not be able to take any public address of the cloud's account."""
    asked = seen.object.spec.public_ip
    if asked is None or asked in of.spec.public_ips:
        return
    accepted = f"{', '.join(of.spec.public_ips[:NAMED])} would be accepted" if of.spec.public_ips else "it names none"
    yield Problem(
        Reason.PUBLIC_IP_NOT_ALLOWED, f"spec.publicIp: {shown(asked)} is not one of the class's publicIps; {accepted}"
    )


def holds(key: Key, class_name: str, addresses: tuple[Address, ...], observed: Observed) -> bool:
    """Whether this HAVip, and not an earlier one of its name, has instances."""
    return any(
        member.class_name == class_name
        and is_its_own(member.assignments[key].instance.addresses, addresses)
        and not quarantined(member.assignments[key])
        for member in observed.allocated.get(key, ())
    )


def is_its_own(recorded: tuple[Address, ...], addresses: tuple[Address, ...]) -> bool:
    """Addresses are immutable, so other addresses under the same name are of an earlier HAVip."""
    return recorded == addresses or set(recorded) == set(addresses)


def _without_conflicts(verdicts: list[Verdict], observed: Observed) -> dict[Key, Verdict]:
    """Each address has one owner: who holds it already, else the oldest (creationTimestamp, then uid).

    A holder goes first so that a HAVip whose namespace is let in later cannot take an address that works. HAVips
    that are refused for other reasons and hold nothing own nothing: they must not be able to block anybody.
    """
    releasing = _releasing({verdict.key: verdict for verdict in verdicts}, observed)
    owners: dict[Address, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda one: not one.holds):  # stable: by age within
        if verdict.wants:
            for address in verdict.addresses:
                owners.setdefault(address, verdict)
    return {verdict.key: _resolved(verdict, owners, releasing) for verdict in verdicts}


def _resolved(verdict: Verdict, owners: Mapping[Address, Verdict], releasing: Mapping[Address, str]) -> Verdict:
    problems = list(verdict.problems)
    for index, address in enumerate(verdict.addresses):
        owner = owners.get(address)
        if owner is not None and owner.key != verdict.key:
            problems.append(
                Problem(
                    Reason.ADDRESS_CONFLICT,
                    f"spec.addresses[{index}]: {address} is already the VIP of HAVip {owner.key}, which was first;"
                    " an address that no other HAVip has would be accepted",
                )
            )
        elif address in releasing and not verdict.holds:
            problems.append(
                Problem(
                    Reason.ADDRESS_RELEASING,
                    f"spec.addresses[{index}]: {address} is not free yet: {releasing[address]}; it will be given when"
                    " these nodes have confirmed that they gave it up, or their Nodes are gone",
                )
            )
    if len(problems) == len(verdict.problems):
        return verdict
    return replace(verdict, problems=tuple(problems))


def _releasing(verdicts: Mapping[Key, Verdict], observed: Observed) -> dict[Address, str]:
    """Addresses on record for HAVips that are gone, going, or of another life: who still has to confirm."""
    nodes: dict[Address, list[str]] = {}
    names: dict[Address, Key] = {}
    for key, members in observed.allocated.items():
        verdict = verdicts.get(key)
        for member in members:
            record = member.assignments[key]
            lives = verdict is not None and verdict.class_name == member.class_name
            if (
                lives
                and verdict is not None
                and not quarantined(record)
                and is_its_own(record.instance.addresses, verdict.addresses)
            ):
                continue
            for address in record.instance.addresses:
                nodes.setdefault(address, []).append(member.node)
                names[address] = key
    return {
        address: f"HAVip {names[address]} was on {', '.join(sorted(found)[:NAMED])}" for address, found in nodes.items()
    }


def _owners(observed: Observed) -> dict[Address, str]:
    """Addresses that belong to something else, and to what."""
    out: dict[Address, str] = {}
    for member in observed.members.values():
        for own in member.own:
            out.setdefault(own.ip, f"node {member.node}")
    for name, node in observed.snapshot.nodes.items():
        for address in node.addresses:
            out[address] = f"node {name}"
    for key, service in observed.snapshot.services.items():
        for address in service.addresses:
            out[address] = f"Service {key}"
    for address in observed.snapshot.api_server:
        out[address] = "the API server"
    return out


def _subnet_edges(networks: Iterable[Network]) -> dict[Address, str]:
    """Network and broadcast addresses of the subnets that the nodes are in."""
    return {
        address: what
        for one in networks
        for address in (one.network_address, one.broadcast_address)
        if (what := _edge(address, one))
    }


def _ranges(of: HAVipClass) -> list[Network]:
    """The class's ranges; one that cannot be read (the class says so in its status) grants nothing."""
    out = []
    for text in of.spec.address_ranges:
        with suppress(Refused):
            out.append(network(text))
    return out


def _edge(address: Address, of: Network) -> str | None:
    """What an address is at the edge of a network; None in the middle, and in networks too small to have edges."""
    if of.num_addresses <= 2:
        return None
    if address == of.network_address:
        return f"the network address of {of}" if of.version == 4 else f"the subnet-router anycast address of {of}"
    if isinstance(of, IPv4Network) and address == of.broadcast_address:
        return f"the broadcast address of {of}"
    return None


def _class_of(seen: SeenHAVip) -> str:
    name = seen.object.spec.class_name or seen.object.status.class_name
    return f"class {name}" if name else "the default class"


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())[:NAMED])


def _age(havips: Mapping[Key, SeenHAVip]) -> Callable[[Key], tuple[datetime, str]]:
    return lambda key: (havips[key].metadata.created, havips[key].metadata.uid)

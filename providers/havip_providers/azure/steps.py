"""From what is to what should be, in an order that is safe to stop in anywhere. Pure.

    0  load balancer: new front ends, probes, pools and rules; what is not wanted any more goes
    1  interfaces join their pools, leave those that no rule uses, forward
    2  load balancer: what had to wait: rules to a pool that is filled now, or made anew; an address that is free now
    3  interfaces leave the pools that these rules came from
    4  load balancer: empty pools go; or all of it, where we made it and nobody uses it

A rule never points to what is not there, and never to a pool that is not filled while another one is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from havip.model.keys import Key
from havip.provider import Change, Plan
from havip_providers.azure.checks import findings
from havip_providers.azure.mapping import (
    FRONT_ENDS,
    KINDS,
    OTHER_KINDS,
    POOLS,
    PROBES,
    RULES,
    Attachment,
    Children,
    DeleteBalancer,
    Desired,
    Json,
    Observed,
    PutBalancer,
    PutInterface,
    Seats,
    Vip,
    child_id,
    children,
    configs,
    covers,
    forwarding,
    front_end,
    listed,
    made_by_us,
    new_balancer,
    others_on,
    pool,
    pool_name,
    pools_of,
    probe,
    properties,
    reference,
    references,
    rule,
)
from havip_providers.azure.names import digest_in, digest_of, key_in

Pair = tuple[str, str]
"""An IP configuration's id and the name of a pool."""


def planned(desired: Desired, observed: Observed) -> Plan:
    found = findings(desired, observed)
    blocked = {one.havip for one in found if one.blocks}
    left = desired.kept | ({vip.key for vip in desired.vips} if None in blocked else {one for one in blocked if one})
    work = _Work.of(desired, observed, left)
    return Plan(tuple(work.changes()), tuple(found))


def _by_name(things: Iterable[Json]) -> dict[str, Json]:
    return {str(one["name"]): one for one in things}


@dataclass(frozen=True, slots=True)
class _Target:
    """Our children as they should be, by kind and name, and who is in our pools."""

    children: dict[str, dict[str, Json]]
    members: frozenset[Pair]


def _target(desired: Desired, observed: Observed, vips: Sequence[Vip]) -> _Target:
    """One place per node and IP version; a node that is nowhere is left out (the findings say so)."""
    nodes = {(node, address.version) for vip in vips for node in vip.candidates for address in vip.addresses}
    seats = Seats.of(desired, observed.interfaces)
    places = {one: seats.attached(*one) for one in nodes}
    ends = [(vip, address) for vip in vips for address in vip.addresses]
    return _Target(
        {
            FRONT_ENDS: _by_name(front_end(desired, vip, address) for vip, address in ends),
            PROBES: _by_name(probe(desired, vip) for vip in vips),
            POOLS: _by_name(pool(desired, vip, address.version) for vip, address in ends),
            RULES: _by_name(
                rule(desired, vip, address.version, protocol=protocol, port=port)
                for vip, address in ends
                for protocol, port in vip.ports
            ),
        },
        frozenset(
            (port.id, pool_name(desired, vip, address.version))
            for vip, address in ends
            for node in vip.candidates
            for port in places[node, address.version][:1]
        ),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One plan in the making. `here`: our children that are there, by kind and name. `staying`: digests of the HAVips
    whose objects are left as they are."""

    desired: Desired
    observed: Observed
    vips: tuple[Vip, ...]
    target: _Target
    here: dict[str, dict[str, Json]]
    members: frozenset[Pair]
    staying: frozenset[str]
    held: frozenset[str]
    """Ids that children of others refer to: these cannot go."""

    @classmethod
    def of(cls, desired: Desired, observed: Observed, left: Iterable[Key]) -> _Work:
        staying = frozenset(map(digest_of, left))
        vips = tuple(vip for vip in desired.vips if digest_of(vip.key) not in staying)
        names = desired.names
        here = {
            kind: {name: one for name, one in _by_name(children(observed.balancer, kind)).items() if names.ours(name)}
            for kind in KINDS
        }
        members = frozenset(
            (str(config["id"]), name)
            for interface in observed.interfaces
            for config in configs(interface)
            for name in pools_of(desired.balancer_id, names, config)
        )
        target = _target(desired, observed, vips)
        return cls(desired, observed, vips, target, here, members, staying, _held(desired, observed))

    def changes(self) -> list[Change]:
        alone = self._balancer_to_delete()
        first, later = (Children(), Children()) if alone else self._balancer_edits()
        used = set() if alone else self._used_after(first)
        gone = self._pools_to_drop()
        empty = [name for name in gone if name not in used and not self._has_members(name)]
        if not alone and empty:
            first = Children(first.put, {**first.drop, POOLS: tuple(empty)})
        out: list[Change] = [
            *self._put(0, first),
            *self._interfaces(used),
            *self._put(2, later),
        ]
        if alone:
            out.append(self._delete())
        else:
            last = tuple(name for name in gone if name not in empty)
            out += self._put(4, Children({}, {POOLS: last}))
        return sorted(out, key=lambda one: one.stage)

    # -- the load balancer ------------------------------------------------------------------------------------------

    def _balancer_to_delete(self) -> bool:
        balancer = self.observed.balancer
        if balancer is None or self.vips or self.staying or self.desired.settings.load_balancer.create is None:
            return False
        return made_by_us(self.desired.names, balancer) and not others_on(self.desired.names, balancer)

    def _balancer_edits(self) -> tuple[Children, Children]:
        """What to write at once, and what has to wait until the pools are filled."""
        put = {
            kind: tuple(
                one
                for name, one in self.target.children[kind].items()
                if not covers(properties(self.here[kind].get(name, {})), one["properties"])
            )
            for kind in (FRONT_ENDS, PROBES)
        }
        put[POOLS] = tuple(one for name, one in self.target.children[POOLS].items() if name not in self.here[POOLS])
        now, later, remade = self._rules()
        drop = {kind: self._unwanted(kind) for kind in (FRONT_ENDS, PROBES, RULES)}
        drop[RULES] += tuple(remade)
        waiting = self._waiting(drop[FRONT_ENDS])
        of_waiting = {child_id(self.desired.balancer_id, FRONT_ENDS, name).lower() for name in waiting}
        later += [one for one in now if reference(one, "frontendIPConfiguration") in of_waiting]
        put[RULES] = tuple(one for one in now if one not in later)
        ends = tuple(one for one in put[FRONT_ENDS] if one["name"] in waiting)
        put[FRONT_ENDS] = tuple(one for one in put[FRONT_ENDS] if one["name"] not in waiting)
        return Children(put, drop), Children({FRONT_ENDS: ends, RULES: tuple(later)})

    def _waiting(self, parted: Sequence[str]) -> set[str]:
        """Front ends whose address another one of ours gives up first: whether both can be one write, nobody says."""
        given_up = {_seat(self.here[FRONT_ENDS][name]) for name in parted}
        return {name for name, one in self.target.children[FRONT_ENDS].items() if _seat(one) in given_up}

    def _rules(self) -> tuple[list[Json], list[Json], list[str]]:
        """Rules to put now, rules to put later, and those that have to go in between."""
        now: list[Json] = []
        later: list[Json] = []
        remade: list[str] = []
        for name, wanted in self.target.children[RULES].items():
            there = self.here[RULES].get(name)
            if there is None:
                now.append(wanted)
            elif covers(properties(there), wanted["properties"]):
                continue
            elif bool(properties(there).get("enableFloatingIP")) is not True:  # cannot be changed once it is made
                remade.append(name)
                later.append(wanted)
            elif self._must_fill(there, wanted):
                later.append(wanted)
                meanwhile = _from_the_old_pool(there, wanted)
                if not covers(properties(there), meanwhile["properties"]):
                    now.append(meanwhile)
            else:
                now.append(wanted)
        return now, later, remade

    def _must_fill(self, there: Json, wanted: Json) -> bool:
        to = reference(wanted, "backendAddressPool").rpartition("/")[2]
        missing = [pair for pair in self.target.members - self.members if pair[1].lower() == to]
        return bool(missing) and reference(there, "backendAddressPool") != reference(wanted, "backendAddressPool")

    def _unwanted(self, kind: str) -> tuple[str, ...]:
        wanted = self.target.children[kind]
        return tuple(
            name
            for name in self.here[kind]
            if name not in wanted and digest_in(name) not in self.staying and not self._held(kind, name)
        )

    def _held(self, kind: str, name: str) -> bool:
        return child_id(self.desired.balancer_id, kind, name).lower() in self.held

    def _pools_to_drop(self) -> list[str]:
        staying = self._staying_pools()
        return [
            name
            for name in self.here[POOLS]
            if name not in self.target.children[POOLS] and name not in staying and not self._held(POOLS, name)
        ]

    def _staying_pools(self) -> set[str]:
        """Pools behind rules that are left as they are."""
        return {
            to
            for name, one in self.here[RULES].items()
            if digest_in(name) in self.staying
            for to in self._pools_behind(one)
        }

    def _pools_behind(self, one: Json) -> set[str]:
        names = {name.lower(): name for name in (*self.here[POOLS], *self.target.children[POOLS])}
        ids = {reference(one, "backendAddressPool"), *references(one, POOLS)}
        return {names[end] for to in ids if (end := to.rpartition("/")[2]) in names}

    def _used_after(self, first: Children) -> set[str]:
        """Pools that rules use once the first write is done."""
        rules = {name: one for name, one in self.here[RULES].items() if name not in first.drop.get(RULES, ())}
        rules |= _by_name(first.put.get(RULES, ()))
        held = {name for name in self.here[POOLS] if self._held(POOLS, name)}
        return held.union(*(self._pools_behind(one) for one in rules.values()))

    def _has_members(self, name: str) -> bool:
        there = properties(self.here[POOLS].get(name, {})).get("backendIPConfigurations")
        return bool(there) or any(pair[1] == name for pair in self.members)

    def _put(self, stage: int, edit: Children) -> list[Change]:
        if not edit:
            return []
        put = self._keys(one["name"] for some in edit.put.values() for one in some)
        gone = [name for kind, names in edit.drop.items() if kind != POOLS for name in names]
        parted = sorted({str(key_in(name) or name) for name in gone} - set(map(str, put)))
        said = [f"carry {listed(put)}" if put else "", f"give back {listed(parted)}" if parted else ""]
        name = self.desired.settings.load_balancer.name
        new = new_balancer(self.desired) if self.observed.balancer is None else None
        what = f"{'make' if new else 'write'} load balancer {name}: {'; '.join(filter(None, said)) or 'its pools'}"
        havips = tuple(sorted({*put, *filter(None, map(key_in, gone))}))
        return [PutBalancer(stage=stage, on=self.desired.balancer_id, what=what, havips=havips, edit=edit, new=new)]

    def _keys(self, names: Iterable[str]) -> list[Key]:
        """VIPs that children belong to; a pool belongs to all that use it."""
        wanted = set(names)
        digests = {digest_in(name) for name in wanted}
        return [
            vip.key
            for vip in self.vips
            if digest_of(vip.key) in digests
            or any(pool_name(self.desired, vip, address.version) in wanted for address in vip.addresses)
        ]

    def _delete(self) -> DeleteBalancer:
        what = f"delete load balancer {self.desired.settings.load_balancer.name}, which we made"
        gone = sorted(filter(None, map(key_in, self.here[FRONT_ENDS])))
        return DeleteBalancer(
            stage=4, on=self.desired.balancer_id, what=what, havips=tuple(gone), names=self.desired.names
        )

    # -- network interfaces -----------------------------------------------------------------------------------------

    def _interfaces(self, used: set[str]) -> list[Change]:
        staying = self._staying_pools()
        out: list[Change] = []
        for interface in self.observed.interfaces:
            mine = {str(one["id"]) for one in configs(interface)}
            wanted = {pair for pair in self.target.members if pair[0] in mine}
            there = {pair for pair in self.members if pair[0] in mine}
            leaving = {pair for pair in there - wanted if pair[1] not in staying}
            later = {pair for pair in leaving if pair[1] in used}
            carries = bool(wanted) or bool(there - leaving)
            claim = forwarding(interface, self.desired.names, wanted=carries and self.desired.settings.ip_forwarding)
            soon = Attachment(
                self._ids(wanted - there), self._ids(leaving - later), claim if claim or not later else None
            )
            last = Attachment((), self._ids(later), claim if claim is False and later else None)
            out += self._attach(1, interface, soon)
            out += self._attach(3, interface, last)
        return out

    def _ids(self, pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        balancer = self.desired.balancer_id
        return tuple((config, child_id(balancer, POOLS, name)) for config, name in sorted(pairs))

    def _attach(self, stage: int, interface: Json, edit: Attachment) -> list[Change]:
        if not edit:
            return []
        said = [
            "join" if edit.join else "",
            "leave" if edit.leave else "",
            {True: "forward", False: "be as it was", None: ""}[edit.forwarding],
        ]
        what = f"let network interface {interface['name']} {', '.join(filter(None, said))}"
        joined = {to.rpartition("/")[2] for _, to in edit.join}
        if edit.forwarding:
            mine = {str(one["id"]) for one in configs(interface)}
            joined |= {name for config, name in self.target.members if config in mine}
        return [
            PutInterface(
                stage=stage,
                on=str(interface["id"]),
                what=what,
                havips=tuple(self._keys(joined)) if joined else (),
                edit=edit,
                names=self.desired.names,
            )
        ]


def _seat(front: Json) -> str:
    """The address that a front end has."""
    return reference(front, "publicIPAddress") or str(properties(front).get("privateIPAddress"))


def _from_the_old_pool(there: Json, wanted: Json) -> Json:
    out = copy.deepcopy(wanted)
    for name in ("backendAddressPool", POOLS):
        out["properties"][name] = copy.deepcopy(properties(there).get(name))
    return out


def _held(desired: Desired, observed: Observed) -> frozenset[str]:
    """What children of others on the same load balancer refer to."""
    out: set[str] = set()
    for kind in (RULES, *OTHER_KINDS):
        for one in children(observed.balancer, kind):
            if not desired.names.ours(str(one.get("name", ""))):
                for name in ("frontendIPConfiguration", "backendAddressPool", "probe"):
                    out.add(reference(one, name))
                out.update(references(one, POOLS))
                out.update(references(one, FRONT_ENDS))
    return frozenset(out - {""})

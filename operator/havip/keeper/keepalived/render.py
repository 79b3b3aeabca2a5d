"""keepalived.conf from typed values, by templates that look like the file. Pure but for reading the templates.

Nothing here takes text of a user: a VIP string with a newline once ran a command as root in a test on real
keepalived, script security or not. What reaches the file is addresses, whole numbers, an interface name that the
model has checked, paths below our own folder and names made of a hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from string import Template

from havip.model.address import Address
from havip.model.election import Instance, Timing
from havip.model.refusal import Refused

_PATH = re.compile(r"/[A-Za-z0-9_./-]{0,200}")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where keepalived and the keeper meet, all below the keeper's own folder."""

    folder: PurePosixPath

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(str(self.folder)):
            raise Refused("HAVIP_RUN", "must be an absolute path of letters, digits, '_', '.', '-' and '/'")

    @property
    def config(self) -> PurePosixPath:
        return self.folder / "keepalived.conf"

    @property
    def fifo(self) -> PurePosixPath:
        return self.folder / "notify.fifo"

    @property
    def pid(self) -> PurePosixPath:
        return self.folder / "keepalived.pid"

    @property
    def vrrp_pid(self) -> PurePosixPath:
        return self.folder / "vrrp.pid"

    @property
    def tracks(self) -> PurePosixPath:
        return self.folder / "track"

    @property
    def temporary(self) -> PurePosixPath:
        return self.folder / "tmp"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One instance as keepalived gets it. Two with the same `name` are one election to keepalived."""

    instance: Instance
    interface: str
    timing: Timing

    @property
    def name(self) -> str:
        """Changes with whatever must never change in place (VRID, own address: 40-5000 ms lost, measured)."""
        instance = self.instance
        identity = "|".join(
            (str(instance.havip), self.interface, str(instance.source), *map(str, sorted(map(str, instance.addresses))))
        )
        return f"vip{instance.virtual_router_id}_{hashlib.sha256(identity.encode()).hexdigest()[:10]}"


@cache
def _template(name: str) -> Template:
    return Template((Path(__file__).parent / "templates" / name).read_text("ascii"))


def render(rendered: Iterable[Rendered], paths: Paths) -> str:
    """The whole file."""
    instances = "".join(_instance(item, paths) for item in rendered)
    return _template("keepalived.conf").substitute(fifo=paths.fifo, instances=instances)


def _instance(item: Rendered, paths: Paths) -> str:
    instance = item.instance
    # Without a peer keepalived would multicast, and a router of the same VRID out there would yield to us.
    # Adverts to the own address never leave the node and are counted all the same.
    peers = [peer.address for peer in instance.peers] or [instance.source]
    return _template("instance.conf").substitute(
        name=item.name,
        track_file=paths.tracks / item.name,
        interface=item.interface,
        virtual_router_id=instance.virtual_router_id,
        priority=instance.priority,
        advert_interval=f"{item.timing.advert_interval_ms / 1000:.2f}",
        missed_adverts=item.timing.missed_adverts,
        source=instance.source,
        peers="\n        ".join(map(str, peers)),
        elected=_virtual(instance.elected, item.interface),
        excluded=_excluded(instance, item.interface),
    )


def _excluded(instance: Instance, interface: str) -> str:
    if not instance.excluded:
        return ""
    lines = "\n        ".join(_virtual(address, interface) for address in instance.excluded)
    return f"virtual_ipaddress_excluded {{\n        {lines}\n    }}"


def _virtual(address: Address, interface: str) -> str:
    # keepalived adds IPv6 VIPs without duplicate address detection by itself; its keyword "-nodad" takes that away:
    # the address stayed tentative for 1 s and failed against the node before us (seen in the lab).
    return f"{address}/32 dev {interface}" if address.version == 4 else f"{address}/128 dev {interface}"

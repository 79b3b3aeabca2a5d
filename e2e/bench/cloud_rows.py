"""The rows of the clouds: what a failover costs when the network goes by an emulated cloud, and what is called.

Failovers are measured in the lab (real keepers, haproxy and agents; the real provider and SDK tell the cloud), calls
by the real operator on a real API server, where nodes are objects. No cloud is real: how fast one learns an
announcement is its own affair, and here it is at once.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle, islice, pairwise

from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import SHOP, havip, klass, node, pool, template
from tests.apiserver.operating.stand import NAMESPACE, Body, Operator, Stand, condition

from e2e.bench.lab_rows import ready
from e2e.bench.operator_rows import a_stand, peak_mib
from e2e.bench.rows import Effort, Row, Values, measures, planned_row, row
from e2e.clouds.regions import REGIONS, Region, Site
from e2e.lab import EVERY_MILLISECOND, Kind, Lab, Prober, Stretch, Vip, now
from e2e.lab.fabrics import PROBER
from e2e.lab.follow import wait_until
from e2e.lab.in_a_cloud import InACloud, in_a_cloud
from havip.controller.resources import HAVIPS, SECRETS
from havip.model.address import parse_network
from havip.model.election import Probe
from havip.model.keys import Key

PROVIDERS = tuple(REGIONS)
_VIP = Vip(("10.77.0.200",), 51, preferred=("n1", "n2", "n3"), port=80)
_PROBE = Probe(59_999, (parse_network(f"{PROBER}/32"),), interval_ms=5_000, threshold=1, overlap_flows_ms=10_000)
"""As a class of Azure has it by default."""
_PROBED = replace(_VIP, probe=_PROBE)
_BEFORE = 200_000_000


# -- failovers, in the lab --------------------------------------------------------------------------------------------


@contextmanager
def _carried(provider: str, vip: Vip) -> Iterator[InACloud]:
    """Three nodes that serve one HAVip which the cloud carries."""
    with Lab() as lab, in_a_cloud(lab, provider) as cloud:
        lab.declare()
        lab.start()
        lab.wait_applied()
        cloud.tell(vip)
        lab.declare(vip)
        yield cloud


def _settled(cloud: InACloud, vip: Vip) -> str:
    """All stand as they will, and new flows go to the active node alone. Returns its name."""
    active = ready(cloud.lab, vip).name
    cloud.wait_served_by(vip, active)
    return active


def _poweroffs(provider: str, vip: Vip, effort: Effort, kinds: tuple[Kind, ...]) -> list[dict[Kind, float]]:
    """Outages by kind of client."""
    outages: list[dict[Kind, float]] = []
    with _carried(provider, vip) as cloud:
        for _ in range(effort.runs):
            active = cloud.lab.node(_settled(cloud, vip))
            with cloud.lab.client_of(vip, kinds=kinds) as client:
                client.wait_answered()
                start = now()
                active.power_off()
                cloud.lab.observer.wait_one_holder(vip.address, but=active.number)
                _wait_served_again(cloud, vip, client)
                history, stretch = client.history(), Stretch(start - _BEFORE, now())
                outages.append({kind: history.outage_ms(kind, between=stretch) for kind in kinds})
            cloud.power_on(active)
    return outages


def _wait_served_again(cloud: InACloud, vip: Vip, client: Prober) -> None:
    """Until one node alone is given new flows and the client has been answered by it."""
    cloud.wait_served_by(vip, cloud.lab.active(vip).name)
    client.wait_answered(after=now(), seconds=20)


def _switches(provider: str, vip: Vip, effort: Effort, kinds: tuple[Kind, ...]) -> list[float]:
    outages = []
    with _carried(provider, vip) as cloud:
        lab = cloud.lab
        orders = cycle([("n2", "n3", "n1"), ("n3", "n1", "n2"), ("n1", "n2", "n3")])
        for preferred in islice(orders, effort.runs):
            _settled(cloud, vip)
            with lab.client_of(vip, kinds=kinds, spacing_ms=EVERY_MILLISECOND) as client:
                client.wait_answered()
                start = now()
                vip = lab.switch(vip, *preferred)
                lab.observer.wait_holders(vip.address, lab.node(preferred[0]).number)
                _wait_served_again(cloud, vip, client)
                time.sleep(1)  # in which what is late would show
                client.wait_answered(after=now())
                outages.append(client.history().outage_ms(between=Stretch(start - _BEFORE, now())))
    return outages


_LEARNT = (Kind.ICMP, Kind.UDP, Kind.PROXIED)
_BALANCED = (Kind.UDP, Kind.PROXIED)


@measures(
    row(
        "azure_poweroff",
        "Azure (emulated), probe every 5 s: power-off of the active node -> new flows answered",
        "ms",
        6500,
        of="median",
    ),
    Row(
        "azure_poweroff_flow",
        "the same for one UDP flow: it stays with the dead node until its probe has failed",
        "ms",
        "comparison",
        None,
    ),
)
def azure_poweroff(effort: Effort) -> Values:
    seen = _poweroffs("Azure", _PROBED, effort, _BALANCED)
    return {
        "azure_poweroff": [one[Kind.PROXIED] for one in seen],
        "azure_poweroff_flow": [one[Kind.UDP] for one in seen],
    }


@measures(planned_row("azure_planned", "Azure (emulated): planned switch: outage of UDP and new TCP handshakes"))
def azure_planned(effort: Effort) -> Values:
    return {"azure_planned": _switches("Azure", _PROBED, effort, _BALANCED)}


@measures(row("huawei_poweroff", "Huawei (emulated): power-off of the active node -> client answered", "ms", 450))
def huawei_poweroff(effort: Effort) -> Values:
    return {"huawei_poweroff": [max(one.values()) for one in _poweroffs("Huawei", _VIP, effort, _LEARNT)]}


@measures(row("tencent_poweroff", "Tencent (emulated): power-off of the active node -> client answered", "ms", 450))
def tencent_poweroff(effort: Effort) -> Values:
    return {"tencent_poweroff": [max(one.values()) for one in _poweroffs("Tencent", _VIP, effort, _LEARNT)]}


@measures(
    planned_row("huawei_planned", "Huawei (emulated): planned switch: outage of ICMP, UDP and new TCP handshakes")
)
def huawei_planned(effort: Effort) -> Values:
    return {"huawei_planned": _switches("Huawei", _VIP, effort, _LEARNT)}


@measures(
    planned_row("tencent_planned", "Tencent (emulated): planned switch: outage of ICMP, UDP and new TCP handshakes")
)
def tencent_planned(effort: Effort) -> Values:
    return {"tencent_planned": _switches("Tencent", _VIP, effort, _LEARNT)}


# -- calls, on an API server ------------------------------------------------------------------------------------------

_NODES = ("n1", "n2", "n3")
_LOOK_SECONDS = 3.0
"""Between two looks in steady state, which are ten minutes apart by default."""
_LOOKS = 6
"""As many as an hour has."""
_PATIENCE = 120.0


@contextmanager
def _operating() -> Iterator[tuple[Stand, Agents]]:
    """An API server with three nodes, and whoever speaks for them."""
    with a_stand() as stand:
        stand.apply(*map(node, _NODES), template(), pool())
        with Agents(stand.control, own_addresses(_NODES)) as agents:
            yield stand, agents


def _class_of(region: Region) -> Body:
    settings = {region.provider.lower(): region.settings}
    return klass(region.provider.lower(), provider=region.provider, credentialsSecret=_secret(region), **settings)


def _secret(region: Region) -> str:
    return f"of-{region.provider.lower()}"


def _begin(stand: Stand, *regions: Region) -> Operator:
    for region in regions:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _secret(region), "namespace": NAMESPACE},
            "data": {key: b64encode(text.encode()).decode() for key, text in region.secret.items()},
        }
        path = SECRETS.path(NAMESPACE, _secret(region)) + "?fieldManager=bench&force=true"
        stand.client.call("PATCH", path, body, content="application/apply-patch+yaml")
    names = ",".join(map(_secret, regions))
    operator = stand.operator(HAVIP_CREDENTIAL_SECRETS=names, HAVIP_RESYNC_SECONDS=str(_LOOK_SECONDS))
    stand.apply(*map(_class_of, regions))
    return operator


def _vip(region: Region, number: int, **spec: object) -> Body:
    address = f"10.88.{1 + PROVIDERS.index(region.provider)}.{number + 1}"
    return havip(f"{region.provider.lower()}-{number}", address, pool="web", className=region.provider.lower(), **spec)


def _programmed(stand: Stand) -> int:
    return sum(condition(body, "Programmed").startswith("True/") for body in stand.client.items(HAVIPS))


def _wait_carried(stand: Stand, count: int) -> None:
    """Until the cloud carries so many HAVips."""
    wait_until(f"{count} HAVips are carried", lambda: _programmed(stand) == count, seconds=_PATIENCE, pause=0.02)


def _apply(stand: Stand, region: Region, count: int) -> float:
    """So many HAVips; returns the seconds until the cloud carries all of them."""
    already = len(stand.client.items(HAVIPS))
    begun = time.monotonic()
    stand.apply(*(_vip(region, number) for number in range(count)))
    _wait_carried(stand, already + count)
    return time.monotonic() - begun


def _quiet(region: Region, seconds: float) -> None:
    """Until nothing was written for so long."""
    writes, since = region.service.writes(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.1)
        if region.service.writes() != writes:
            writes, since = region.service.writes(), time.monotonic()


_SITE = Site({name: f"10.88.0.{name.removeprefix('n')}" for name in _NODES}, "10.88.0.0/16")
_WRITES = {
    "steady": row("cloud_writes_steady", "each cloud: writes in as many looks as an hour has", "writes", 0, of="max"),
    "failover": row("cloud_writes_failover", "each cloud: writes at a failover", "writes", 0, of="max"),
    "planned": row("cloud_writes_planned", "each cloud: writes at a planned switch", "writes", 0, of="max"),
}
_READS = row("cloud_reads_steady", "each cloud: reads per look, 60 HAVips against 3: more by", "reads", 0, of="max")


@measures(*_WRITES.values(), _READS)
def calls(_: Effort) -> Values:
    found: dict[str, list[float]] = {one.id: [] for one in (*_WRITES.values(), _READS)}
    for provider in PROVIDERS:
        with _operating() as (stand, agents), REGIONS[provider](_SITE) as region:
            _begin(stand, region)
            _apply(stand, region, 3)
            _quiet(region, 2 * _LOOK_SECONDS)
            few = _reads_per_look(region, found[_WRITES["steady"].id])
            found[_WRITES["failover"].id].append(_written(region, partial(_fail_over, stand, agents, region)))
            found[_WRITES["planned"].id].append(_written(region, partial(_switch, stand, agents, region)))
            stand.apply(*(_vip(region, number) for number in range(3, 60)))
            _wait_carried(stand, 60)
            _quiet(region, 2 * _LOOK_SECONDS)
            found[_READS.id].append(_reads_per_look(region, found[_WRITES["steady"].id]) - few)
    return found


def _reads_per_look(region: Region, written: list[float]) -> float:
    """In steady state; what was written meanwhile is noted."""
    writes, before = region.service.writes(), len(region.service.exchanges)
    time.sleep(_LOOKS * _LOOK_SECONDS * 1.1)  # nothing happens, which is what is counted
    while time.monotonic() - region.service.exchanges[-1].seconds < _LOOK_SECONDS / 3:
        time.sleep(0.05)  # in the middle of a look
    written.append(region.service.writes() - writes)
    seen = [one.seconds for one in region.service.exchanges[before:]]
    looks = 1 + sum(later - earlier > _LOOK_SECONDS / 3 for earlier, later in pairwise(seen))
    return len(seen) / looks


def _written(region: Region, happening: Callable[[], None]) -> float:
    before = region.service.writes()
    happening()
    _quiet(region, _LOOK_SECONDS)
    return region.service.writes() - before


def _key(region: Region) -> Key:
    return Key(SHOP, f"{region.provider.lower()}-0")


def _moved(stand: Stand, region: Region, before: str) -> bool:
    body = stand.client.get(HAVIPS, _key(region))
    status: Mapping[str, object] = (body or {}).get("status", {})
    return status.get("activeNode") not in (None, before)


def _fail_over(stand: Stand, agents: Agents, region: Region) -> None:
    active = agents.active(_key(region)) or ""
    agents.silence(active)
    wait_until("another node is active", lambda: _moved(stand, region, active), seconds=_PATIENCE, pause=0.02)
    agents.speak(active)


def _switch(stand: Stand, agents: Agents, region: Region) -> None:
    """The order to switch has reached every node; who then holds the address is no affair of the operator's."""
    active = agents.active(_key(region)) or ""
    target = next(name for name in _NODES if name != active)
    stand.apply(_vip(region, 0, nodes={"preferred": [target]}))

    def ordered() -> bool:
        body = stand.client.get(HAVIPS, _key(region)) or {}
        return bool(body) and body["status"]["observedGeneration"] == body["metadata"]["generation"] > 1

    wait_until("the order has reached every node", ordered, seconds=_PATIENCE, pause=0.02)


@measures(row("cloud_apply", "HAVip applied -> the emulated cloud carries it", "s", 2, of="max"))
def applies(effort: Effort) -> Values:
    seconds: list[float] = []
    for provider in PROVIDERS:
        with _operating() as (stand, _), REGIONS[provider](_SITE) as region:
            _begin(stand, region)
            _apply(stand, region, 1)  # the first one has the node pods to wait for
            for number in range(1, effort.runs + 1):
                begun = time.monotonic()
                stand.apply(_vip(region, number))
                _wait_carried(stand, number + 1)
                seconds.append(round(time.monotonic() - begun, 3))
    return {"cloud_apply": seconds}


@measures(row("azure_apply_80_writes", "80 HAVips at once on one load balancer: writes in all", "writes", 8, of="max"))
def eighty(_: Effort) -> Values:
    with _operating() as (stand, _agents), REGIONS["Azure"](_SITE) as region:
        _begin(stand, region)
        _apply(stand, region, 80)
        _quiet(region, 2 * _LOOK_SECONDS)
        return {"azure_apply_80_writes": [region.service.writes()]}


@measures(row("operator_rss_sdks", "operator: most memory with all three SDKs in use", "MiB", 230, of="max"))
def all_sdks(_: Effort) -> Values:
    with _operating() as (stand, _agents), ExitStack() as undo:
        regions = [undo.enter_context(REGIONS[provider](_SITE)) for provider in PROVIDERS]
        operator = _begin(stand, *regions)
        for region in regions:
            _apply(stand, region, 5)
        return {"operator_rss_sdks": [peak_mib(operator.pid)]}

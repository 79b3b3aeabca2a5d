"""The rows that need no cluster: real processes in the lab's namespaces.

Every run begins settled (one active node that has its incumbent bonus, every standby ready); only when all is settled
again does the next one begin. The client sends ICMP and UDP every millisecond, TCP every 2 ms and TCP through haproxy
every 5 ms, except where connections themselves are counted: then every millisecond, which takes nearly a CPU. The
settle time alone is shorter than the product's default, so that a run need not wait half a minute for the bonus.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from e2e.bench.rows import Effort, Row, Values, measures, planned_row, row
from e2e.lab import EVERY_MILLISECOND, Container, Episode, Kind, Lab, Node, Part, Prober, Stretch, Vip, now
from e2e.lab.container import cpu_seconds, resident_bytes
from e2e.lab.faults import PlainKeepalived, plain_configuration
from havip.model.report import KeeperReport
from havip.model.states import State

_VIP = Vip(("10.77.0.200",), 51, preferred=("n1", "n2", "n3"), port=80)
_STANDING_SECONDS = 2.0
_DIRECT = (Kind.ICMP, Kind.UDP, Kind.TCP)


@contextmanager
def _serving() -> Iterator[Lab]:
    """Three nodes that serve one HAVip with a front end."""
    with Lab() as lab:
        lab.declare()
        lab.start()
        lab.wait_applied()
        lab.declare(_VIP)
        yield lab


def ready(lab: Lab, vip: Vip = _VIP) -> Node:
    """Every node runs, everybody but the active one stands by. Returns the active one."""
    active = lab.settled(vip, seconds=60)
    for node in lab.nodes:
        node.pod().wait_report("it is well", _well_as(State.ACTIVE if node is active else State.STANDBY), seconds=40)
    # A node that has just come back says so before it stands in the election as it will: with the next fault at once,
    # the third node began first in 4 of 20 power-offs, and 2 s later in none.
    time.sleep(_STANDING_SECONDS)
    return lab.active(vip)


def _well_as(state: State) -> Callable[[KeeperReport], bool]:
    return lambda report: report.track_healthy and [instance.state for instance in report.instances] == [state]


def _episodes(
    effort: Effort, fault: Callable[[Lab, Episode], None], heal: Callable[[Lab, Node], None], title: str
) -> list[Episode]:
    """The same fault to whoever is active, again and again."""
    seen: list[Episode] = []
    with _serving() as lab:
        for _ in range(effort.runs):
            active = ready(lab)
            with Episode(lab, _VIP, title) as episode:
                fault(lab, episode)
            seen.append(episode)
            heal(lab, active)
    return seen


def _dual_ms(episode: Episode) -> float:
    """Time with two holders: what the kernels say or what answered on the wire, whichever was longer."""
    return max(episode.two_holders.total_ms, episode.two_answering.total_ms)


def _active_nodes(episode: Episode) -> float:
    return float(len(set(episode.became_active)))


# -- the active node dies ---------------------------------------------------------------------------------------------


@measures(
    row("poweroff", "power-off of the active node -> client answered in every way", "ms", 400),
    row("poweroff_active_nodes", "power-off: nodes that became active", "nodes", 1, of="max"),
)
def poweroff(effort: Effort) -> Values:
    def fault(_lab: Lab, episode: Episode) -> None:
        episode.before.power_off()
        episode.wait_moved()

    seen = _episodes(effort, fault, lambda _lab, node: node.power_on(), "power-off")
    return {
        "poweroff": [episode.outage_ms() for episode in seen],
        "poweroff_active_nodes": [_active_nodes(episode) for episode in seen],
    }


@measures(
    Row(
        "poweroff_raw_keepalived",
        "the same, keepalived alone with its own defaults (advert interval 1 s)",
        "ms",
        "comparison",
        None,
    )
)
def poweroff_raw_keepalived(effort: Effort) -> Values:
    outages: list[float] = []
    vip = Vip((_RAW_VIP,), _RAW_VRID)
    with Lab() as lab:
        lab.observer.watch(_RAW_VIP)
        daemons = _raw(lab)
        with lab.client_of(vip, spacing_ms=EVERY_MILLISECOND) as client:
            for _ in range(effort.runs):
                active = lab.active(vip, seconds=20)
                began = client.wait_answered(seconds=20)
                active.link_down()
                daemons[active.number - 1].kill()
                client.wait_answered(seconds=20)
                outages.append(client.history().outage_ms(between=Stretch(began, now())))
                active.clean_kernel()
                active.link_up()
                daemons[active.number - 1].restart()
                _wait_back(lab, client, active)
    return {"poweroff_raw_keepalived": outages}


_RAW_VIP, _RAW_VRID = "10.77.0.210", 210
_RAW_PRIORITIES = (150, 120, 100)


def _raw(lab: Lab) -> list[PlainKeepalived]:
    """keepalived on every node as its manual shows it, unicast, advert interval 1 s."""
    addresses = [node.member.address4 for node in lab.nodes]
    return [
        PlainKeepalived(
            lab,
            node,
            name="raw",
            configuration=plain_configuration(
                name="raw",
                virtual_router_id=_RAW_VRID,
                priority=priority,
                source=node.member.address4,
                peers=[address for address in addresses if address != node.member.address4],
                vip=_RAW_VIP,
            ),
        )
        for node, priority in zip(lab.nodes, _RAW_PRIORITIES, strict=False)
    ]


def _wait_back(lab: Lab, client: Prober, node: Node) -> None:
    """Plain keepalived preempts: the node that returned takes the address again."""
    lab.observer.wait_holders(_RAW_VIP, node.number, seconds=20)
    client.wait_answered(seconds=20, by=node.number)


# -- planned ----------------------------------------------------------------------------------------------------------


@measures(
    planned_row(
        "planned", "planned switch by changed preference: outage of ICMP and of new TCP handshakes through haproxy"
    ),
    row("planned_open", "planned switch: connections that were open at that moment and ended", "number", 2, of="max"),
)
def planned(effort: Effort) -> Values:
    outages: list[float] = []
    opened: list[float] = []
    with _serving() as lab:
        order = itertools.cycle([("n2", "n3", "n1"), ("n3", "n1", "n2"), ("n1", "n2", "n3")])
        vip = _VIP
        lab.settled(vip, on=lab.node(1))
        for preferred in itertools.islice(order, effort.runs):
            with Episode(
                lab, vip, "planned switch", spacing_ms=EVERY_MILLISECOND, kinds=(Kind.ICMP, Kind.PROXIED)
            ) as episode:
                vip = lab.switch(vip, *preferred)
                lab.observer.wait_holders(vip.address, lab.node(preferred[0]).number)
                episode.client.wait_answered()
                _afterwards()
            outages.append(episode.outage_ms())
            opened.append(float(episode.broken))
            lab.settled(vip, on=lab.node(preferred[0]))
    return {"planned": outages, "planned_open": opened}


def _afterwards() -> None:
    """A second in which a late gratuitous ARP or a stale cache would show."""
    time.sleep(1)


# -- a process dies or hangs ------------------------------------------------------------------------------------------


@measures(
    row("keepalived_kill", "SIGKILL of keepalived on the active node -> client answered", "ms", 450),
    row("keepalived_kill_dual", "SIGKILL of keepalived: two holders", "ms", 50, of="max"),
)
def keepalived_kill(effort: Effort) -> Values:
    def fault(_lab: Lab, episode: Episode) -> None:
        episode.before.pod().kill_keepalived()
        episode.wait_moved()
        _afterwards()

    seen = _episodes(effort, fault, lambda _lab, _node: None, "SIGKILL of keepalived")
    return {
        "keepalived_kill": [episode.outage_ms(*_DIRECT) for episode in seen],
        "keepalived_kill_dual": [_dual_ms(episode) for episode in seen],
    }


_DEAD_MAN_MS = 2600


@measures(row("keepalived_freeze_dual", "SIGSTOP of keepalived: two holders", "ms", _DEAD_MAN_MS, of="max"))
def keepalived_freeze(effort: Effort) -> Values:
    def fault(lab: Lab, episode: Episode) -> None:
        episode.before.pod().freeze_keepalived(frozen=True)
        lab.observer.wait_one_holder(_VIP.address, but=episode.before.number, seconds=20)

    def heal(_lab: Lab, node: Node) -> None:
        node.pod().freeze_keepalived(frozen=False)

    seen = _episodes(effort, fault, heal, "SIGSTOP of keepalived")
    return {"keepalived_freeze_dual": [_dual_ms(episode) for episode in seen]}


@measures(row("keeper_kill_dual", "SIGKILL of the keeper: two holders", "ms", _DEAD_MAN_MS, of="max"))
def keeper_kill(effort: Effort) -> Values:
    def fault(lab: Lab, episode: Episode) -> None:
        episode.before.pod().kill(Part.KEEPER)
        lab.observer.wait_one_holder(_VIP.address, but=episode.before.number, seconds=20)

    def heal(_lab: Lab, node: Node) -> None:
        node.pod().start_part(Part.KEEPER)

    seen = _episodes(effort, fault, heal, "SIGKILL of the keeper")
    return {"keeper_kill_dual": [_dual_ms(episode) for episode in seen]}


@measures(row("pod_kill_dual", "SIGKILL of every process of the node pod: two holders", "ms", _DEAD_MAN_MS, of="max"))
def pod_kill(effort: Effort) -> Values:
    def fault(lab: Lab, episode: Episode) -> None:
        episode.before.pod().kill_all()
        lab.observer.wait_one_holder(_VIP.address, but=episode.before.number, seconds=20)

    def heal(_lab: Lab, node: Node) -> None:
        node.pod().start()

    seen = _episodes(effort, fault, heal, "SIGKILL of the pod")
    return {"pod_kill_dual": [_dual_ms(episode) for episode in seen]}


# -- away, busy, idle -------------------------------------------------------------------------------------------------


@measures(row("agent_away", "every agent dead for a minute: outage, over every way to ask", "ms", 0, of="max"))
def agent_away(effort: Effort) -> Values:
    with _serving() as lab:
        active = ready(lab)
        with Episode(lab, _VIP, "every agent away") as episode:
            for node in lab.nodes:
                node.pod().kill(Part.AGENT)
            time.sleep(effort.away_seconds)
        assert episode.became_active == ()
        assert lab.active(_VIP) is active
        return {"agent_away": [figures.outage_ms for figures in episode.figures()]}


_HOGS = 16


@measures(row("hogs", f"{_HOGS} CPU hogs for ten minutes: transitions of three VIPs", "number", 0, of="max"))
def hogs(effort: Effort) -> Values:
    names = ("n1", "n2", "n3")
    vips = [
        Vip((f"10.77.0.{220 + turn}",), 61 + turn, preferred=(*names[turn:], *names[:turn]))
        for turn in range(len(names))
    ]
    with Lab() as lab:
        lab.declare(*vips)
        lab.start()
        for vip in vips:
            lab.settled(vip, on=lab.node(vip.preferred[0]), seconds=40)
        burning = [_hog(lab, number) for number in range(_HOGS)]
        began = now()
        time.sleep(effort.hog_seconds)
        busy = Stretch(began, now())
        for hog in burning:
            assert hog.running
            hog.kill()
        holders = lab.observer.history()
        return {"hogs": [float(len(holders.became_active(vip.address, busy))) for vip in vips]}


def _hog(lab: Lab, number: int) -> Container:
    return Container(
        [sys.executable, "-c", "while True: pass"],
        network=lab.client,
        record=lab.record,
        log=lab.folder / f"hog-{number}.log",
        environment={},
    )


@measures(
    row("agent_rss", "resident memory of agent and keeper, 50 HAVips, 17 of them active here", "MiB", 60, of="max"),
    row("node_idle_cpu", "the whole node pod, keepalived included, with those 50 HAVips", "% of a core", 3, of="max"),
)
def fifty(effort: Effort) -> Values:
    names = ("n1", "n2", "n3")
    turns = itertools.cycle([(*names[turn:], *names[:turn]) for turn in range(len(names))])
    vips = [
        Vip((f"10.77.0.{150 + number}",), number, preferred=next(turns), port=1000 + number) for number in range(1, 51)
    ]
    with Lab() as lab:
        lab.declare(*vips)
        lab.start()
        for vip in vips:
            lab.settled(vip, on=lab.node(vip.preferred[0]), seconds=60)
        _stop_asking(lab, vips)
        lab.wait_applied()
        before = [_pod_cpu(node) for node in lab.nodes]
        started = time.monotonic()
        time.sleep(effort.away_seconds)
        seconds = time.monotonic() - started
        after = [_pod_cpu(node) for node in lab.nodes]
        return {
            "agent_rss": [_talking_and_keeping(node) for node in lab.nodes],
            "node_idle_cpu": [100 * (end - start) / seconds for start, end in zip(before, after, strict=True)],
        }


def _stop_asking(lab: Lab, vips: Sequence[Vip]) -> None:
    """An idle node answers no observer."""
    for vip in vips:
        lab.observer.watch(vip.address, spacing_ms=0)


def _pod_cpu(node: Node) -> float:
    return sum(cpu_seconds(pid) for pid in node.pod().processes())


def _talking_and_keeping(node: Node) -> float:
    """MiB of the agent's and the keeper's own process; keepalived and haproxy are not theirs."""
    pod = node.pod()
    return sum(resident_bytes(pid) for part in (Part.AGENT, Part.KEEPER) for pid in pod.pids(part)) / 2**20

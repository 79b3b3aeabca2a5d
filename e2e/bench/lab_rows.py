"""The rows that need no cluster: real processes in the lab's namespaces.

Every run begins settled (one active node that has its incumbent bonus, every standby reporting) and is measured by a
client; only then does the next one begin.
"""

from __future__ import annotations

from e2e.bench.rows import Effort, Row, Values, measures
from e2e.lab import Lab, Node, Prober, Stretch, Vip, now
from e2e.lab.faults import PlainKeepalived, plain_configuration

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


@measures(
    Row(
        "poweroff_raw_keepalived",
        "power-off of the active node -> client answered, keepalived alone with its defaults",
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
        with lab.client_of(vip) as client:
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


def _wait_back(lab: Lab, client: Prober, node: Node) -> None:
    """The returned node takes the address again (plain keepalived preempts) or at least somebody answers."""
    lab.observer.wait_holders(_RAW_VIP, node.number, seconds=20)
    client.wait_answered(seconds=20, by=node.number)

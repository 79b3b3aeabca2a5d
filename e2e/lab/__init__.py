"""Namespaces, real daemons and a client that measures: everything about the data plane but a cluster.

with Lab() as lab:
    vip = Vip(("10.77.0.200",), virtual_router_id=51)
    lab.declare(vip)
    lab.start()
    active = lab.active(vip)
    with lab.client_of(vip) as client:
        client.wait_answered()
        active.power_off()
        client.wait_answered()
        print(client.history().outage_ms())
"""

from e2e.lab.container import Container
from e2e.lab.declare import DEFAULT_TIMING, Vip
from e2e.lab.episode import Episode
from e2e.lab.follow import NotInTime
from e2e.lab.history import MS, ClientHistory, Figures, HolderHistory, Kind, Outcome, Stream, Stretch, Unprobed
from e2e.lab.lab import DEFAULT_CLASS, ECHO_PORT, EVERY_MILLISECOND, FIRST_SERVER, SERVER_PORT, Lab, Node
from e2e.lab.measuring import Observer, Prober, now
from e2e.lab.namespaces import LabError, Namespace
from e2e.lab.pod import Flavour, Part, Pod

__all__ = [
    "DEFAULT_CLASS",
    "DEFAULT_TIMING",
    "ECHO_PORT",
    "EVERY_MILLISECOND",
    "FIRST_SERVER",
    "MS",
    "SERVER_PORT",
    "ClientHistory",
    "Container",
    "Episode",
    "Figures",
    "Flavour",
    "HolderHistory",
    "Kind",
    "Lab",
    "LabError",
    "Namespace",
    "Node",
    "NotInTime",
    "Observer",
    "Outcome",
    "Part",
    "Pod",
    "Prober",
    "Stream",
    "Stretch",
    "Unprobed",
    "Vip",
    "now",
]

"""Why a figure is missed, by row id: shown beside the row while it is missed, and only then."""

from __future__ import annotations

from collections.abc import Mapping

_BUSY = "seen on a machine that had other work for both of its CPUs"

_IN_FLIGHT = (
    "the old node gives the address up within a millisecond of the new one's first advert, and the network learns the "
    "new one by its announcement: of packets a millisecond apart, up to three are on their way to the old one just then"
)

WHY_MISSED: Mapping[str, str] = {
    "poweroff": (
        f"detection is 300 ms plus up to 22 ms of skew; what is beyond is a standby that got the CPU late: {_BUSY}"
    ),
    "poweroff_active_nodes": (
        "detection times of the two standbys differ by 12 ms; one that is kept off the CPU for longer lets the third "
        "node begin, which then gives way at once: seen on two cores that clients, nodes and measuring programs share"
    ),
    "planned": (
        "the old node gives the address up within a millisecond of the new one's first advert; a packet that is on its "
        f"way to it just then is lost, one or two in some runs: {_BUSY}"
    ),
    "planned_open": (
        "one connection is opened each millisecond, so as many are open as haproxy takes milliseconds to answer: "
        f"one or two on a quiet machine, hundreds when it is kept off the CPU: {_BUSY}"
    ),
    "roll": (
        "a run is three node pods ended and begun, with one to three switches, while the kubelets and container "
        "runtimes of all three nodes use the two cores; most runs lose nothing, which of the rest waited is not known"
    ),
    "test_warm": (
        "3,100 tests with two Kubernetes clusters and labs, three at a time, keep both cores busy; the longer of the "
        "two runs made the images, the lab's root file systems and mypy's cache anew as well, and its tests alone took "
        "947 s instead of 829 on the same machine"
    ),
    "node_idle_cpu": (
        "more than half of it is keepalived itself, which at the default interval of 100 ms sends 340 adverts a second "
        "for 17 active VIPs and hears 330 for the others"
    ),
    "operator_cold_cpu": (
        "a third is kopf passing on 1500 events, a third 1000 writes by the official client (a finalizer and a status "
        "each), the rest six or seven plans of 500 VIPs and reading what comes back; "
        f"{_BUSY}, which doubles CPU seconds"
    ),
    "operator_restart_cpu": (
        f"two thirds are reading 500 HAVips and 12 HAVipNodes of 70 KB twice, by us and by kopf; {_BUSY}"
    ),
    "huawei_planned": _IN_FLIGHT,
    "tencent_planned": _IN_FLIGHT,
}

"""What a node can be for a VIP, and other words with few values. One word per thing, as users read it."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """A node's state for one VIP. keepalived's own MASTER and BACKUP never leave `havip.keeper`."""

    ACTIVE = "Active"
    """Holds the address and answers for it."""
    STANDBY = "Standby"
    """Could take over."""
    DRAINING = "Draining"
    """Was active and handed over in order; still serves what reaches it, for a bounded time."""
    FAULT = "Fault"
    """Cannot take over; the reason says why."""
    UNKNOWN = "Unknown"
    """Not known (yet), or address and election disagree."""


class Failback(StrEnum):
    """What a node of higher preference does when it returns."""

    NEVER = "Never"
    IMMEDIATE = "Immediate"
    DELAYED = "Delayed"


class Protocol(StrEnum):
    TCP = "TCP"


class Engine(StrEnum):
    HAPROXY = "HAProxy"


class Algorithm(StrEnum):
    ROUND_ROBIN = "RoundRobin"
    LEAST_CONNECTIONS = "LeastConnections"
    SOURCE = "Source"

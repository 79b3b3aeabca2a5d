"""The words conditions and Events use: types, reasons. One place, so that a reason means one thing."""

from __future__ import annotations

from enum import StrEnum


class Type(StrEnum):
    """Condition types."""

    READY = "Ready"
    PROGRAMMED = "Programmed"
    CLAIMED = "Claimed"
    VRRP_BLOCKED = "VrrpBlocked"
    IN_USE = "InUse"
    DEFAULT = "Default"


class Reason(StrEnum):
    """Why a condition is as it is, and what an Event is about."""

    # of a HAVip that is not (fully) done
    NO_CLASS = "NoClass"
    TWO_DEFAULT_CLASSES = "TwoDefaultClasses"
    CLASS_NOT_FOUND = "ClassNotFound"
    CLASS_DELETED = "ClassDeleted"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    ADDRESS_INVALID = "AddressInvalid"
    ADDRESS_OUTSIDE_RANGES = "AddressOutsideRanges"
    ADDRESS_NOT_ASSIGNABLE = "AddressNotAssignable"
    ADDRESS_IN_USE = "AddressInUse"
    ADDRESS_CONFLICT = "AddressConflict"
    ADDRESS_RELEASING = "AddressReleasing"
    PORT_RESERVED = "PortReserved"
    PUBLIC_IP_NOT_ALLOWED = "PublicIpNotAllowed"
    POOL_MISSING = "PoolMissing"
    NO_ELIGIBLE_NODES = "NoEligibleNodes"
    VIRTUAL_ROUTER_IDS_EXHAUSTED = "VirtualRouterIdsExhausted"
    VIRTUAL_ROUTER_ID_CONFLICT = "VirtualRouterIdConflict"
    WAITING_FOR_NODES = "WaitingForNodes"
    NOT_CLAIMED = "NotClaimed"
    NOT_APPLIED = "NotApplied"
    NODE_NOT_READY = "NodeNotReady"
    SPLIT_BRAIN = "SplitBrain"
    RELEASING = "Releasing"
    UNINSTALLING = "Uninstalling"
    # of a HAVip that answers
    HELD = "Held"
    NO_REDUNDANCY = "NoRedundancy"
    VRRP_BLOCKED = "VrrpBlocked"
    ADVERTS_HEARD = "AdvertsHeard"
    ONE_ACTIVE = "OneActive"
    PROGRAMMED = "Programmed"
    PROGRAMMING = "Programming"
    CREDENTIALS_NOT_ALLOWED = "CredentialsNotAllowed"
    SHOWN_ELSEWHERE = "ShownElsewhere"
    # of pools
    SERVICE_MISSING = "ServiceMissing"
    PORT_MISSING = "PortMissing"
    MEMBER_INVALID = "MemberInvalid"
    NO_SERVERS = "NoServers"
    TOO_MANY_SERVERS = "TooManyServers"
    NONE_HEALTHY = "NoneHealthy"
    NOT_USED = "NotUsed"
    NOT_YET_REPORTED = "NotYetReported"
    SERVING = "Serving"
    IN_USE = "InUse"
    # of classes
    RANGE_INVALID = "RangeInvalid"
    NO_NODES = "NoNodes"
    NO_TEMPLATE = "NoTemplate"
    NODES_NOT_REPORTING = "NodesNotReporting"
    NODES_REPORTING = "NodesReporting"
    IS_DEFAULT = "IsDefault"
    # of node states
    NOT_REPORTED = "NotReported"
    SUPERSEDED = "Superseded"
    # of Events
    ACTIVATED = "Activated"
    FAILED_OVER = "FailedOver"
    PLANNED_SWITCH = "PlannedSwitch"
    OUTRANKED = "Outranked"
    NOT_HEARD = "NotHeard"
    DEACTIVATED = "Deactivated"
    READY = "Ready"
    VRRP_HEALED = "VrrpHealed"
    QUARANTINED = "Quarantined"

"""The contract between the operator and a cloud: how providers are found and what they promise.

Nothing here knows a cloud, and nothing here imports one before a class asks for it.
"""

from havip.model.cloud import CloudNode, Owner, Wanted, WantedVip
from havip.provider.change import Change, Finding, Holder, Plan
from havip.provider.contract import Capabilities, Cloud, Failover, Provider
from havip.provider.credentials import Credentials
from havip.provider.discovery import GROUP, NoSuchProvider, ProviderBroken, find, names, needing_sdk
from havip.provider.failures import CloudFailed, Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable

__all__ = [
    "GROUP",
    "Capabilities",
    "Change",
    "Cloud",
    "CloudFailed",
    "CloudNode",
    "Conflict",
    "Credentials",
    "Failover",
    "Finding",
    "Forbidden",
    "Holder",
    "Invalid",
    "NoSuchProvider",
    "NotFound",
    "Owner",
    "Plan",
    "Provider",
    "ProviderBroken",
    "Throttled",
    "Unavailable",
    "Wanted",
    "WantedVip",
    "find",
    "names",
    "needing_sdk",
]

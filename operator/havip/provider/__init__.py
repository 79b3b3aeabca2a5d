"""The contract between the operator and a cloud: how providers are found and what they promise.

Nothing here knows a cloud, and nothing here imports one before a class asks for it.
"""

from havip.provider.contract import Capabilities, Failover, Provider
from havip.provider.discovery import GROUP, NoSuchProvider, ProviderBroken, find, names

__all__ = ["GROUP", "Capabilities", "Failover", "NoSuchProvider", "Provider", "ProviderBroken", "find", "names"]

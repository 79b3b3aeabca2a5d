"""A class's settings in the form in which they travel to the nodes."""

from __future__ import annotations

from havip.api.v1alpha1 import HAVipClass
from havip.model.election import Timing
from havip.model.node import InterfaceChoice, InterfaceSource


def timing_of(of: HAVipClass) -> Timing:
    vrrp = of.spec.election.vrrp
    return Timing(vrrp.advert_interval_milliseconds, vrrp.missed_adverts, vrrp.settle_seconds)


def interface_of(of: HAVipClass) -> InterfaceChoice:
    interface = of.spec.interface
    if interface.name is not None:
        return InterfaceChoice(InterfaceSource.NAME, interface.name)
    if interface.from_default_route is not None:
        return InterfaceChoice(InterfaceSource.DEFAULT_ROUTE)
    return InterfaceChoice(InterfaceSource.ADDRESS_SUBNET)

"""Clouds as packets see them: what an emulated cloud was told decides where a VIP goes, and who may send from it."""

from e2e.lab.fabrics.balancer import PROBER
from e2e.lab.fabrics.fabric import AzureFabric, Fabric, HuaweiFabric, TencentFabric
from e2e.lab.fabrics.gate import Gate
from e2e.lab.fabrics.rules import Seat

__all__ = ["PROBER", "AzureFabric", "Fabric", "Gate", "HuaweiFabric", "Seat", "TencentFabric"]

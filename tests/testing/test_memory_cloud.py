"""The contract suite on the smallest provider there is."""

from __future__ import annotations

import copy

from havip.model.address import parse_address
from havip.provider import CloudNode, Credentials, Owner, Wanted, WantedVip
from havip.testing.memory_cloud import Fault, MemoryCloud, MemoryProvider
from havip.testing.provider_contract import ProviderContract, always, key

NODES = ("n1", "n2", "n3")


class MemoryWorkbench:
    credentials = Credentials({"key": "a-very-secret-value"})

    def __init__(self):
        interfaces = {
            f"interface/{name}": {"address": f"10.0.0.{number}", "colour": "grey"}
            for number, name in enumerate(NODES, 1)
        }
        interfaces["interface/n1"]["forwards"] = ["somebody else"]
        self.cloud = MemoryCloud({**interfaces, "address/10.0.0.99": {"owner": "them", "address": "10.0.0.99"}})
        self.provider = MemoryProvider(self.cloud)

    def wanted(self, vips):
        return Wanted(
            Owner("0b4c", "edge"),
            None,
            tuple(
                WantedVip(
                    key(number),
                    (parse_address(f"10.0.0.{100 + number}"),),
                    (NODES[number % 3], NODES[(number + 1) % 3]),
                    (("TCP", 443),),
                )
                for number in range(vips)
            ),
            tuple(CloudNode(name, (parse_address(f"10.0.0.{number}"),)) for number, name in enumerate(NODES, 1)),
        )

    def writes(self):
        return self.cloud.writes

    def everything(self):
        return copy.deepcopy(self.cloud.objects)

    def foreign(self):
        return {
            name: {**value, "forwards": [one for one in value.get("forwards", []) if one.endswith("else")]}
            for name, value in self.everything().items()
            if not str(value.get("owner", "")).endswith("-edge")
        }

    def save(self):
        return self.cloud.save()

    def fail(self, fault, *, times):
        self.cloud.fail(fault, times=times)

    def actions(self):
        return ("memory/read", "memory/write", "memory/delete")

    def deny(self, action):
        self.cloud.denied |= {action}


class TestMemoryProvider(ProviderContract):
    def workbench(self):
        return always(MemoryWorkbench())


def test_a_fault_is_met_once():
    cloud = MemoryCloud()
    cloud.fail(Fault.STALE)
    cloud.write("a", {})
    assert cloud.read() == {}
    assert cloud.read() == {"a": {}}

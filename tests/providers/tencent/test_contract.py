"""The contract suite, by the real SDK against the emulated service: with instances, and with network interfaces."""

from __future__ import annotations

from contextlib import contextmanager

from tests.providers.tencent.workbench import workbench

from havip.api.v1alpha1.clouds import TencentInstanceType
from havip.testing.provider_contract import ProviderContract


class TestTencentProviderWithInstances(ProviderContract):
    def workbench(self):
        return workbench()


class TestTencentProviderWithInterfaces(ProviderContract):
    @contextmanager
    def workbench(self):
        with workbench() as bench:
            bench.type = TencentInstanceType.ENI
            yield bench

"""The contract suite on an emulated Azure, called by the real SDK over HTTP."""

from __future__ import annotations

from contextlib import contextmanager

from e2e.clouds.azure import AzureCloud
from tests.providers.azure.scene import TOKEN, AzureWorkbench, network, serving

from havip.testing.provider_contract import ProviderContract


class TestSharedInternalBalancer(ProviderContract):
    """One that others use as well, and that stays."""

    @contextmanager
    def workbench(self):
        with serving(network(AzureCloud(tokens=[TOKEN]))) as service:
            yield AzureWorkbench(service)


class TestSharedPublicBalancer(ProviderContract):
    @contextmanager
    def workbench(self):
        with serving(network(AzureCloud(tokens=[TOKEN]), public=True)) as service:
            yield AzureWorkbench(service, public=True)


class TestBalancerOfOurOwn(ProviderContract):
    """Made with the first VIP, deleted with the last. Operations take a while, lists have pages."""

    @contextmanager
    def workbench(self):
        with serving(network(AzureCloud(tokens=[TOKEN], polls=1, page=2), balancer=False)) as service:
            yield AzureWorkbench(service, made=True)

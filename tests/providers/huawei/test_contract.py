"""The contract suite on the emulated cloud, by the real SDK over HTTP."""

from __future__ import annotations

from e2e.clouds.huawei import Guesses
from tests.providers.huawei.workbench import running

from havip.testing.provider_contract import ProviderContract


class TestHuaweiProvider(ProviderContract):
    def workbench(self):
        return running()


class TestHuaweiProviderWhereTheGuessesAreWrong(ProviderContract):
    def workbench(self):
        guesses = Guesses(neutron_errors=True, names_action=False, create_binds=False, fills_in_macs=True)
        return running(guesses)

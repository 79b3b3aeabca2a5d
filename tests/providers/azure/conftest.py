"""A running emulated Azure for each test that asks for one."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from e2e.clouds.azure import AzureCloud
from tests.providers.azure.scene import TOKEN, AzureWorkbench, network, serving


@pytest.fixture
def bench():
    """`bench(made=True, guesses=..)`: a workbench on a cloud of its own; every request it makes is checked."""
    with ExitStack() as stack:

        def make(*, made=False, public=False, scene=network, **cloud):
            built = scene(AzureCloud(tokens=[TOKEN], **cloud), balancer=not made, public=public)
            return AzureWorkbench(stack.enter_context(serving(built)), made=made, public=public)

        yield make

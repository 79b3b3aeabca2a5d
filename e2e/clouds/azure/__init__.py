"""Azure's resource manager for the network, as much of it as a load balancer with a probe needs.

`AzureCloud` is the cloud; `Guesses` are its answers where no document says how the real one behaves.
"""

from e2e.clouds.azure.cloud import AzureCloud
from e2e.clouds.azure.guesses import Guesses
from e2e.clouds.azure.refusal import Script
from e2e.clouds.azure.view import Backend, Rule

__all__ = ["AzureCloud", "Backend", "Guesses", "Rule", "Script"]

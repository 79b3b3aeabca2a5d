"""The product as a user has it: installed by Helm on the real cluster, with an application and a measuring client."""

from e2e.product.installation import Installation, Vip
from e2e.product.measuring import client_of

__all__ = ["Installation", "Vip", "client_of"]

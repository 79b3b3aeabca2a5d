"""An emulated Huawei Cloud: ports and public addresses of one project, and what its network then lets pass."""

from e2e.clouds.huawei.api import HuaweiCloud
from e2e.clouds.huawei.store import Guesses, Network, Nic, Store, Subnet, Vip

__all__ = ["Guesses", "HuaweiCloud", "Network", "Nic", "Store", "Subnet", "Vip"]

"""The golden configurations: orders by the name of their file. `UPDATE_GOLDEN=1 pytest` writes them anew."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tests.agent import orders

from havip.agent.desired import Desired
from havip.model.paths import Folders

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = Folders(PurePosixPath("/run/havip"))
HTTP_CHECK = {**orders.CHECK, "httpPath": "/healthz?from=$x;a,b(1)%20*&c=~!@"}


def _many() -> Desired:
    return orders.desired(
        orders.spec(
            orders.instance(frontends=[orders.frontend(), orders.frontend("https", 443, "shop/tls")]),
            orders.instance("pay/api", vrid=8, addresses=["10.88.0.201"], frontends=[orders.frontend("api", 80)]),
        ),
        orders.pool(servers=["10.0.0.1:8080", "10.0.0.2:8080"], healthCheck=orders.CHECK),
        orders.pool("shop/tls", servers=[("10.0.0.1", 8443, 5), ("10.0.0.2", 8443, 0)], algorithm="LeastConnections"),
    )


CASES: dict[str, Desired] = {
    "empty": orders.desired(orders.spec()),
    "one": orders.desired(orders.spec(orders.instance()), orders.pool()),
    "many": _many(),
    "no-front-ends": orders.desired(orders.spec(orders.instance(frontends=[])), orders.pool()),
    "pool-absent": orders.desired(orders.spec(orders.instance())),
    "pool-without-servers": orders.desired(
        orders.spec(orders.instance()), orders.pool(servers=[], healthCheck=orders.CHECK)
    ),
    "http-check": orders.desired(orders.spec(orders.instance()), orders.pool(healthCheck=HTTP_CHECK)),
    "source": orders.desired(orders.spec(orders.instance()), orders.pool(algorithm="Source", healthCheck=orders.CHECK)),
    "ipv6": orders.desired(
        orders.spec(orders.instance(addresses=["fd00::200"])),
        orders.pool(servers=["[fd00::5]:8080", "[fd00::6]:80"], healthCheck=orders.CHECK),
    ),
    "dual-stack": orders.desired(
        orders.spec(orders.instance(addresses=["10.88.0.200", "fd00::200"])),
        orders.pool(servers=["10.0.0.1:8080", "[fd00::5]:8080"]),
    ),
}

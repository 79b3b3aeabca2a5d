"""`python3 -m havip.keeper`: the command of the keeper's container."""

from __future__ import annotations

import sys

# asyncio and hashlib bring OpenSSL where they find it: 6 of 31 MiB. The keeper speaks no TLS, and hashlib has its own.
sys.modules.update({"_ssl": None, "_hashlib": None})  # type: ignore[dict-item]  # None = "there is no such module"

from havip.keeper.app import main  # noqa: E402  # after what it must not load

sys.exit(main())

"""`python3 -m havip.keeper`: the command of the keeper's container."""

from __future__ import annotations

import sys

from havip.keeper.app import main

sys.exit(main())

"""`python -m havip.controller`: the operator, as `havip run operator` starts it."""

import sys

from havip.controller.app import main

sys.exit(main())

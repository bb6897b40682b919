"""`python -m tidewheel` is `tidewheel`."""

from __future__ import annotations

import sys

from tidewheel._cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m semples`` is the command ``semples``."""

from __future__ import annotations

import sys

from semples.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""Start the harness: ``python -m harness`` or ``python -I <dir>/harness/__main__.py``."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    if not __package__:
        # Started by path: find the package, and do not let our module names shadow anything.
        sys.path[:] = [str(HERE.parent), *(entry for entry in sys.path if entry != str(HERE))]
    from harness.cli import main

    sys.exit(main())

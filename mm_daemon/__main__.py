"""`python -m mm_daemon` is `mm-daemon`."""

import sys

from mm_daemon.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m graphnet`: the command line."""

import sys

from graphnet.cli import main

if __name__ == "__main__":
    sys.exit(main())

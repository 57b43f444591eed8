"""`python -m journeyman`, where the command is not on the path."""

import sys

from journeyman.cli import main

if __name__ == "__main__":
    sys.exit(main())

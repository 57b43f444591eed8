"""`journeyman`, and `python -m journeyman` where the command is not on the path."""

import os
import sys


def main() -> int:
    """Run the command line as the whole process.

    What it needs is imported here, so that Ctrl-C in these seconds is a sentence as well.
    """
    try:
        from journeyman.cli import main as run

        code = run()
    except KeyboardInterrupt:
        print("journeyman: stopped before anything began", file=sys.stderr)
        code = 130
    if code == 130:
        # What is kept is on the disk. Threads of a writer that was cut off would tell of it as the process ends.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())

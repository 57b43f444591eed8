"""`journeyman`, and `python -m journeyman` where the command is not on the path."""

import io
import os
import signal
import sys
from typing import Any


def main() -> int:
    """Run the command line as the whole process."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a process in the background may be deaf to Ctrl-C, and stays so
        signal.signal(signal.SIGINT, _stop)
    from journeyman.cli import main as run

    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal or a pipe that has no γ gets its escape, as stderr does
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(ready=lambda: signal.signal(signal.SIGINT, handler))
    if code == 130:
        # What is kept is on the disk. Threads of a writer that was cut off would tell of it as the process ends.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _stop(*_: Any) -> None:
    """Ctrl-C in the seconds of the imports: an exception would be swallowed by some, or become another one."""
    os.write(2, b"journeyman: stopped before anything began\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())

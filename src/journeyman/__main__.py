"""`journeyman`, and `python -m journeyman` where the command is not on the path."""

import contextlib
import io
import os
import signal
import sys
from typing import Any


def main() -> int:
    """Run the command line as the whole process."""
    handler, heard = signal.getsignal(signal.SIGINT), _as_ctrl_c()
    if handler is signal.default_int_handler:  # a process in the background may be deaf to Ctrl-C, and stays so
        signal.signal(signal.SIGINT, _stop)
    from journeyman.cli import main as run

    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal or a pipe that has no γ gets its escape, as stderr does
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(ready=lambda: signal.signal(signal.SIGINT, handler))
    if code == 130:
        # What is kept is on the disk. Threads of a writer that was cut off would tell of it as the process ends.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the terminal may be gone
                stream.flush()
        os._exit(128 + heard[0] if heard else code)
    return code


def _as_ctrl_c() -> list[int]:
    """What a scheduler, `kill` and a closing terminal send is heard as a Ctrl-C is from now on; what came, in order.

    A signal that somebody ignores (`nohup`) or hears is left alone. Where a Ctrl-C is not heard, these end the process.
    """
    heard: list[int] = []

    def hear(number: int, frame: Any) -> None:
        heard.append(number)
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            handler(number, frame)

    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, hear)
    return heard


def _stop(number: int, _: Any) -> None:
    """Ctrl-C in the seconds of the imports: an exception would be swallowed by some, or become another one."""
    os.write(2, b"journeyman: stopped before anything began\n")
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())

"""The bar, its silence, and Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from journeyman.training._progress import Progress, _short, postponed


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """Every test must leave Ctrl-C as it found it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_interrupt_asks_and_the_second_insists() -> None:
    with Progress("fit", 10) as progress:
        assert not progress.interrupted
        press()
        assert progress.interrupted
        progress.advance(1, loss=0.5)
        with pytest.raises(KeyboardInterrupt):
            press()


def test_what_is_postponed_is_heard_afterwards_and_as_often() -> None:
    with Progress("fit", 10) as progress:
        with postponed():
            press()
            assert not progress.interrupted
        assert progress.interrupted
        with pytest.raises(KeyboardInterrupt), postponed():
            press()
    before, passed = signal.signal(signal.SIGINT, signal.SIG_IGN), []
    try:
        with postponed():  # a process in the background is deaf to Ctrl-C, and stays so
            press()
        thread = threading.Thread(target=lambda: passed.append(postponed().__enter__()))
        thread.start()
        thread.join()
        assert passed == [None]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_old_handler_is_back_afterwards_even_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(ZeroDivisionError), Progress("fit", 10):
        assert signal.getsignal(signal.SIGINT) is not before
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loop_inside_a_loop_ends_both() -> None:
    with Progress("outer", 2) as outer:
        with Progress("inner", 2) as inner:
            press()
        assert inner.interrupted
        assert outer.interrupted
    with Progress("outer", 2) as outer:
        with Progress("inner", 2):
            pass
        assert not outer.interrupted


def test_outside_the_main_thread_there_is_no_handler_and_no_error() -> None:
    found = []

    def work() -> None:
        with Progress("fit", 2) as progress:
            progress.advance(2)
            found.append((progress.interrupted, progress._installed))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, False)]


LOOP = """
import sys, time
from journeyman.training._progress import Progress
with Progress("natural gradient", 4000, 1000, quiet="quiet" in sys.argv) as progress:
    for done in (2000, 3000, 4000):
        progress.advance(done, **{"return": 1234.5})
        time.sleep(0.3)
print("rich" in sys.modules)
"""


def on_terminal(*arguments: str) -> tuple[str, str]:
    """What the loop prints on stdout, and on a terminal of 120 columns as stderr."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    main, other = pty.openpty()
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, *arguments], stdout=subprocess.PIPE, stderr=other, text=True, env=environment
    )
    os.close(other)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 4096)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    with process:
        assert process.stdout is not None
        return process.stdout.read().strip(), shown.decode()


def test_a_terminal_sees_speed_time_left_and_the_newest_number() -> None:
    out, shown = on_terminal()
    assert out == "True"
    for text in ("natural gradient", "100 %", "steps/s", "return 1234", "0:00:0"):
        assert text in shown


def test_quiet_and_pipes_see_nothing_and_load_nothing() -> None:
    assert on_terminal("quiet") == ("False", "")
    piped = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=True)
    assert (piped.stdout.strip(), piped.stderr) == ("False", "")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.01234, "0.0123"), (-3.0, "-3"), (1234.5, "1234"), (2.5e6, "2.5M"), (float("nan"), "nan")],
)
def test_short_numbers(number: float, text: str) -> None:
    assert _short(number) == text

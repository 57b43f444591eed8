"""A bar while it runs, silence in a pipe, and a Ctrl-C that ends a run cleanly."""

import contextlib
import math
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended `fit`, `improve` or `sweep` after an iteration; `trained` is what they had come to by then.

    A run folder has it too, as a checkpoint and a policy. As any `KeyboardInterrupt` it also ends the loop over seeds,
    the figure or the diagnosis that called them: none of these goes on with half a run.
    """

    def __init__(self, progress: "Progress", trained: Any) -> None:
        self.done, self.total, self.unit, self.trained = progress.done, progress.total, progress.unit, trained
        super().__init__(f"stopped after {self.done:,} of {self.total:,} {self.unit}")


class Progress:
    """Shows how far a loop has come, how fast, how long it still takes and how good it is.

        with Progress("natural gradient", total_steps) as progress:
            while steps < total_steps and not progress.interrupted:
                ...
                progress.advance(steps, **{"return": mean_return})

    On a terminal this draws one line on stderr (Rich); elsewhere, or when `quiet`, nothing is written and
    Rich is not imported. The first Ctrl-C sets `interrupted`, so that the loop can finish its iteration and
    write a checkpoint; the second raises `KeyboardInterrupt` at once. Outside the main thread Python allows
    no handler and Ctrl-C stays what it was.
    """

    def __init__(self, label: str, total: int, done: int = 0, *, unit: str = "steps", quiet: bool = False) -> None:
        self.label = label
        self.total = total
        self.done = done
        self.unit = unit
        self.quiet = quiet or not sys.stderr.isatty()
        self.interrupted = False
        self._bar: Any = None
        self._task: Any = None
        self._shown: Any = None
        self._previous: Any = None
        self._installed = False

    def advance(self, done: int, **values: float) -> None:
        """`done` of `total` are done (not so many more); `values` are the newest numbers to show beside the"
        " bar."""
        self.done = done
        if self._bar is not None:
            shown = "  ".join(f"{name.replace('_', ' ')} {_short(float(value))}" for name, value in values.items())
            self._bar.update(self._task, completed=done, shown=shown)

    def __enter__(self) -> "Progress":
        if not self.quiet:
            self._bar = _bar(self.unit)
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.done, shown="")
            self._shown = self._bar.tasks[0]
            self._bar.start()
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_interrupt)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._installed:
            self._installed = False
            _put_back(self._previous)
            outer = getattr(self._previous, "__self__", None)
            if isinstance(outer, Progress) and self.interrupted:
                outer.interrupted = True  # a loop inside a loop: both must end

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        if self._bar is not None:
            # an assignment and no call: a signal handler must not wait for a lock of the drawing thread
            self._shown.description = f"{self.label} (ending after this iteration; Ctrl-C again ends now)"


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """A Ctrl-C inside is heard at the end: for work whose threads would outlive whoever gave up waiting for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        _put_back(before)
        for number in heard:
            signal.raise_signal(number)


def _put_back(handler: Any) -> None:
    # None stands for a handler that was not installed from Python and cannot be put back from it
    signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)


def _bar(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Speed(ProgressColumn):
        """How many units a second."""

        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{_short(speed)} {unit}/s" if speed else f"- {unit}/s")

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %"),
        Speed(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[shown]}"),
        console=Console(stderr=True),
        expand=True,
        refresh_per_second=4,
    )


def _short(number: float) -> str:
    """At most six characters or so: 0.0123, 12.3, 3456, 1.2M."""
    if not math.isfinite(number):
        return str(number)
    if abs(number) >= 1e6:
        return f"{number / 1e6:.1f}M"
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"

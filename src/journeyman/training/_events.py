"""Rows as TensorBoard's event files."""

import os
import socket
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from journeyman.parts import require
from journeyman.policies._files import naming

_FLUSH = 120.0
"""Seconds until what was logged is in the file, for whoever looks on."""


class Events:
    """Appends to an event file of its own in `folder`.

    By tensorboardX's records and not by its `SummaryWriter`, whose thread ends on a full disk: who logs then waits for
    it for good.
    """

    def __init__(self, folder: Path, purge: int | None) -> None:
        records, self._protocol = _tensorboard("record_writer"), _tensorboard("proto.event_pb2")
        self._scalar, self.folder = _tensorboard("summary").scalar, folder
        # the last part keeps two writers of one second from sharing, and so emptying, one file
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{uuid.uuid4().hex[:8]}"
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._records = records.RecordWriter(os.fspath(folder / name))
        self._due = 0.0
        event, session = self._protocol.Event, self._protocol.SessionLog
        self._write(event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge is not None:
            # so TensorBoard forgets what an interrupted run wrote beyond its checkpoint
            self._write(event(step=purge, file_version="brain.Event:2"))
            self._write(event(step=purge, session_log=session(status=session.START)))

    def add(self, scalars: Iterable[tuple[str, float]], step: int) -> None:
        """The numbers of one row."""
        told = self._protocol.Event(wall_time=time.time(), step=step)
        for name, number in scalars:
            told.summary.value.extend(self._scalar(name, number).value)
        self._write(told)

    def close(self) -> None:
        """What is left goes to the file."""
        with naming(self.folder):
            self._records.close()

    def _write(self, event: Any) -> None:
        now = time.monotonic()
        with naming(self.folder):
            self._records.write(event.SerializeToString())
            if now >= self._due:
                self._records.flush()
                self._due = now + _FLUSH


def _tensorboard(module: str) -> Any:
    return require(f"tensorboardX.{module}", extra="tensorboard")

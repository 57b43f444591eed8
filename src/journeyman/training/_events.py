"""Rows as TensorBoard's event files."""

import os
import socket
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from journeyman.policies._files import naming

_FLUSH = 120.0
"""Seconds until what was logged is in the file, for whoever looks on."""


class Events:
    """Appends to an event file of its own in `folder`.

    By tensorboardX's records and not by its `SummaryWriter`, whose thread ends on a full disk: who logs then waits for
    it for good.
    """

    def __init__(self, folder: Path, purge: int | None) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
        from tensorboardX.record_writer import RecordWriter

        self.folder = folder
        # the last part keeps two writers of one second from sharing, and so emptying, one file
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{uuid.uuid4().hex[:8]}"
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._records = RecordWriter(os.fspath(folder / name))
        self._due = 0.0
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge is not None:
            # so TensorBoard forgets what an interrupted run wrote beyond its checkpoint
            self._write(Event(step=purge, file_version="brain.Event:2"))
            self._write(Event(step=purge, session_log=SessionLog(status=SessionLog.START)))

    def add(self, scalars: Iterable[tuple[str, float]], step: int) -> None:
        """The numbers of one row."""
        from tensorboardX.proto.event_pb2 import Event  # type: ignore[attr-defined]
        from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
        from tensorboardX.summary import scalar

        values = [value for name, number in scalars for value in scalar(name, number).value]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """What is left goes to the file."""
        with naming(self.folder):
            self._records.close()

    def _write(self, event: object) -> None:
        now = time.monotonic()
        with naming(self.folder):
            self._records.write(event.SerializeToString())  # type: ignore[attr-defined]
            if now >= self._due:
                self._records.flush()
                self._due = now + _FLUSH

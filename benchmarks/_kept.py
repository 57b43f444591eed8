"""Finished runs in a file, so that hours of them can be done in parts."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Kept:
    """Runs by what they are of, and in a file where one is given."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file is not None and file.exists() else []
        self.runs = {json.dumps(one["of"]): one for one in map(json.loads, lines)}

    def run(self, of: dict[str, Any], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The run of that description, done now if it is not there."""
        name = json.dumps(of)
        if name not in self.runs:
            found = {"of": of, **work(), "call": os.getpid()}
            self.runs[name] = found
            if self.file is not None:
                with self.file.open("a") as file:
                    file.write(json.dumps(found) + "\n")
        return self.runs[name]

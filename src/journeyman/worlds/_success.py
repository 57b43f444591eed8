"""Which episodes succeeded, as the simulators themselves say it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_KEYS = ("is_success", "success")


class Successes:
    """Keeps, for each environment, whether its episodes succeeded: the simulator said so at one of their steps.

    `finished` lists them environment by environment, the oldest first; it is `None` until the simulator says anything.
    The episodes that ended before it first did are among them, for some speak of success alone. A simulator that never
    speaks costs two look-ups and a sum a step.
    """

    def __init__(self, num_envs: int) -> None:
        self.finished: list[list[bool]] | None = None
        self._so_far = np.zeros(num_envs, bool)
        self._before = np.zeros(num_envs, int)

    def clear(self) -> None:
        """Every environment begins anew."""
        self.finished = None
        self._so_far[...] = False
        self._before[...] = 0

    def forget(self, which: np.ndarray) -> None:
        """The episodes under way where `which` marks it are dropped."""
        self._so_far[which] = False

    @staticmethod
    def said(info: Mapping[str, Any]) -> Any:
        """What a step's `info` says of success, `None` where it says nothing."""
        return next((info[key] for key in _KEYS if key in info), None)

    def count(self, said: Any, fresh: np.ndarray, ended: np.ndarray) -> None:
        """One step of every environment; where `fresh`, it was a reset and `said` is no step's."""
        if said is None and self.finished is None:
            self._before += ended
            return
        if self.finished is None:
            self.finished = [[False] * int(count) for count in self._before]
        if said is not None:
            self._so_far |= np.asarray(said, bool) & ~fresh
        for i in np.flatnonzero(ended):
            self.finished[i].append(bool(self._so_far[i]))
            self._so_far[i] = False

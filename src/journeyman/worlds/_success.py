"""Which episodes succeeded, as the simulators themselves say it."""

import numbers
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

_KEYS = ("is_success", "success")


class Successes:
    """Keeps, for each environment, whether its episodes succeeded: the simulator said so at one of their steps.

    `finished` lists them environment by environment, the oldest first; it is `None` until the simulator says anything.
    The episodes that ended before it first did are among them, for some speak of success alone. A simulator that once
    says what is neither yes nor no is `doubted`: a warning tells it, once for each simulator, which is called `what`
    there, and `finished` stays `None`. A simulator that never speaks costs two look-ups and a sum a step.
    """

    warned: ClassVar[set[tuple[str, str]]] = set()

    def __init__(self, num_envs: int, what: str) -> None:
        self.what, self.key, self.doubted = what, "", False
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

    def said(self, info: Mapping[str, Any]) -> Any:
        """What a step's `info` says of success, `None` where it says nothing."""
        self.key = next((key for key in _KEYS if key in info), self.key)
        return info.get(self.key)

    def believed(self, said: Any, fresh: np.ndarray) -> np.ndarray | None:
        """What was `said` as booleans `(num_envs,)`, `None` where it is nothing or doubted.

        Where `fresh`, it was a reset and what was said is no step's.
        """
        values = np.asarray(said)
        if self.doubted or (values.dtype == object and all(one is None for one in values.flat)):
            return None
        if values.size != len(fresh):
            self._doubt(f"of shape {values.shape} in {len(fresh)} environments")
            return None
        yes, no = _yes_and_no(values.reshape(-1))
        neither = ~(yes | no | fresh)
        if neither.any():
            self._doubt(repr(values.reshape(-1)[neither].tolist()[0]))
            return None
        return yes & ~fresh

    def count(self, said: Any, fresh: np.ndarray, ended: np.ndarray) -> None:
        """One step of every environment; where `fresh`, it was a reset and `said` is no step's."""
        flags = self.believed(said, fresh)
        if self.doubted or (flags is None and self.finished is None):
            self._before += ended
            return
        if self.finished is None:
            self.finished = [[False] * int(count) for count in self._before]
        if flags is not None:
            self._so_far |= flags
        for i in np.flatnonzero(ended):
            self.finished[i].append(bool(self._so_far[i]))
            self._so_far[i] = False

    def _doubt(self, found: str) -> None:
        self.doubted, self.finished = True, None
        if (self.what, self.key) not in self.warned:
            self.warned.add((self.what, self.key))
            warnings.warn(
                f"Whether episodes of {self.what} succeed stays unknown: its info['{self.key}'] was {found}, and only"
                " True, False, 1 and 0 are understood; let the environment say one of them.",
                stacklevel=3,
            )


def _yes_and_no(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `values` are yes, and which no: booleans, 1 or 0. `None`, which stands where nothing is said, is no."""
    if values.dtype == object:
        known = [0 if one is None else one if isinstance(one, numbers.Real | np.bool_) else np.nan for one in values]
        values = np.asarray(known, float)
    numeric = values.dtype.kind in "biuf"
    return (values == 1) & numeric, (values == 0) & numeric

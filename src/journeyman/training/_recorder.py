"""What `fit` and `improve` tell the world outside: a run folder, rows, progress. By default: nothing."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from journeyman.parts import JourneymanError, describe, refuse
from journeyman.policies import DensityPolicy, partition, save
from journeyman.policies._arrays import declare_arrays
from journeyman.policies._files import whole_folder
from journeyman.training._folder import CHECKPOINTS, CONFIG, POLICIES, POLICY
from journeyman.training._metrics import Rows
from journeyman.training._progress import Interrupted, Progress
from journeyman.training._run import Run, check_links, read_record

State = TypeVar("State")
Result = TypeVar("Result")


class Recorder:
    """A run folder (or none), a progress bar (or none), and a listener to rows (or none).

    Recording reads what training computes and never feeds anything back: with or without it the stream is the same.

    Args:
        folder: the run folder, to be created by the verb that records; `None` keeps nothing on disk.
        resume: continue the run in `folder` from its newest complete checkpoint.
        overwrite: replace a run that is there already.
        quiet: no progress bar (there is none in a pipe anyway).
        listen: called with every row.
        context: plain JSON kept in `config.json`, for instance where the data came from.
        links: more fingerprints to keep beside those of policy and data, by role.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
        quiet: bool = True,
        listen: Callable[[dict[str, Any]], None] | None = None,
        context: Mapping[str, Any] | None = None,
        links: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(folder, str | os.PathLike | None):
            raise JourneymanError(
                f"`folder` is {folder!r:.60}, and a path is needed; pass that of a run folder, or None to keep nothing."
            )
        self._folder = None if folder is None else Path(folder)
        self._resume, self._overwrite, self._quiet, self._listen = resume, overwrite, quiet, listen
        self._context, self._links = dict(context or {}), dict(links or {})
        self._run: Run | None = None
        self._progress: Progress | None = None
        self._first = 0

    def begin(self, verb: str, parts: Mapping[str, Any], *, seed: int, links: Mapping[str, str]) -> None:
        """Create the run folder, or open it and refuse parts, settings or data other than those that began it.

        What the same parts, settings and data began, and what died before its first checkpoint, is begun again.
        """
        if self._folder is None:
            return
        links = {**links, **self._links}
        described, arrays = describe(dict(parts), opaque=True)
        config = {"verb": verb, "parts": described, "context": self._context}
        if not self._resume:
            overwrite = self._overwrite or _stillborn(self._folder, described, arrays, links)
            self._run = Run.create(self._folder, config, arrays, seed=seed, links=links, overwrite=overwrite)
            return
        found = read_record(self._folder)
        check_links(found["links"], dict(links))
        differ = _differences(found["config"]["parts"], described, str(self._folder))
        refuse(differ + _other_arrays(found["arrays"], arrays, str(self._folder)))
        self._run = Run.open(self._folder)

    def restore(self, state: State) -> State:
        """The newest checkpoint when resuming (metrics are cut back to it), else `state` itself."""
        if self._run is None:
            return state
        found = self._run.restore(state)[1] if self._resume else state
        self._first = self._run.metrics.rows
        return found

    @property
    def keeps_rows(self) -> bool:
        """Whether rows are on disk, so that nobody else need hold them."""
        return self._run is not None

    def rows(self) -> Sequence[dict[str, Any]]:
        """The rows that this process has written to the run folder."""
        assert self._run is not None
        return Rows(self._run.folder, self._first, self._run.metrics.rows)

    def log(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write one row and hand it on."""
        if self._run is not None:
            told = {name: value for name, value in row.items() if name not in ("clock", "bad_leaf")}
            self._run.log(told, clock=row.get("clock"))
        if self._listen is not None:
            self._listen(row)
        return row

    def save(self, step: int, state: Any) -> None:
        """A checkpoint, durable when this returns."""
        if self._run is not None:
            self._run.checkpoint(step, state)

    def finish(self, step: int, state: Any, policies: Sequence[DensityPolicy], seed: int) -> None:
        """The last checkpoint and the policy artefact; of several, one for each seed from `seed` on, all at once."""
        if self._run is None:
            return
        self.save(step, state)
        if len(policies) == 1:
            save(policies[0], self._run.policy_folder, links=self._run.links, overwrite=True)
            return
        with whole_folder(self._run.policies_folder, replace=True) as hidden:
            for number, policy in enumerate(policies, seed):
                save(policy, hidden / str(number), links=self._run.links)

    def progress(self, label: str, total: int, done: int, *, unit: str) -> Progress:
        """The bar; it also turns Ctrl-C into a request to stop after the current iteration."""
        self._progress = Progress(label, total, done, unit=unit, quiet=self._quiet)
        return self._progress

    def whole(self, trained: Result) -> Result:
        """What a verb returns, given back; or raised as `Interrupted` where Ctrl-C ended the run."""
        if self._progress is not None and self._progress.interrupted:
            raise Interrupted(self._progress, trained)
        return trained

    def close(self) -> None:
        """Let the folder go."""
        if self._run is not None:
            self._run.close()
            self._run = None


def check_finite(
    bad_leaf: int,
    loss: float,
    policies: Sequence[DensityPolicy],
    record: Recorder,
    step: int,
    state: Any,
    *,
    seed: int,
    whose: str = "",
    bad_weights: int = 0,
) -> None:
    """Stop a run whose weights or update were not finite; state and policies are the last finite ones, and kept first.

    They are kept as at any other end (see `Recorder.finish`).
    """
    if bad_leaf < 0 and not bad_weights:
        return
    record.finish(step, state, policies, seed)
    if bad_weights:
        raise JourneymanError(unweighable(bad_weights, f"in iteration {step}{whose}"))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(partition(policies[0])[0])]
    raise JourneymanError(
        f"The update at {step} made 'policy{paths[bad_leaf]}'{whose} not finite (loss {loss:.4g}), so it was not taken"
        " and the last finite state is kept; lower the learning rate or the KL radius, or look for extreme rewards and"
        " observations in the data."
    )


def unweighable(count: int, where: str) -> str:
    """The sentence about weights that are not finite."""
    return (
        f"The weights of {count} steps {where} are not finite, so nothing was learned from that data and the last"
        " finite state is kept: sums of its rewards, or the baseline's values, overflow single precision; scale the"
        " rewards down, or look for extreme ones."
    )


def _stillborn(folder: Path, parts: Any, arrays: Mapping[str, np.ndarray], links: Mapping[str, str]) -> bool:
    """Whether these parts began the run in `folder`, and it made nothing but rows, which will be the same again."""
    made = (folder / POLICY, folder / POLICIES, *folder.glob(f"{CHECKPOINTS}/[!.]*"))
    if not (folder / CONFIG).exists() or any(path.exists() for path in made):
        return False
    found = read_record(folder)
    return (found["config"].get("parts"), found["arrays"], found["links"]) == (parts, declare_arrays(arrays), links)


def _differences(then: Any, now: Any, folder: str, path: str = "") -> list[str]:
    """Where two descriptions (see `describe`) disagree, in sentences: of another part its name alone, of an array that
    it is one (see `_other_arrays`)."""
    if then == now:
        return []
    before, after = _fields(then), _fields(now)
    if before and after and then.get("part") == now.get("part"):
        pairs = {name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])}
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = {str(i): two for i, two in enumerate(zip(then, now, strict=True))}
    else:
        return [
            f"'{folder}' was begun with {path} = {_told(then)}, not {_told(now)}; resume with what it was begun with,"
            " or start another run."
        ]
    deeper = ((old, new, f"{path}.{name}" if path else name) for name, (old, new) in pairs.items())
    return [sentence for old, new, at in deeper for sentence in _differences(old, new, folder, at)]


def _fields(item: Any) -> dict[str, Any]:
    """What a part or a mapping holds, by name; empty for all else."""
    if not isinstance(item, dict):
        return {}
    return item if "part" in item else item.get("map", {})


def _told(item: Any) -> str:
    """A part by its name, a number as it is."""
    if not isinstance(item, dict):
        return "nothing" if item is None else repr(item)
    if "array" in item:
        return "an array"
    return str(next((item[kind] for kind in ("part", "float", "opaque") if kind in item), item.get("map")))


def _other_arrays(then: Mapping[str, Any], now: Mapping[str, np.ndarray], folder: str) -> list[str]:
    """Which arrays have not the digest that the record declares, in a sentence; `_differences` has their places."""
    declared = declare_arrays(now)
    differ = [name.lstrip(".") for name in declared if name in then and declared[name] != then[name]]
    if not differ:
        return []
    return [
        f"'{folder}' was begun with other values in {', '.join(differ)}; resume with what it was begun with, or start"
        " another run."
    ]

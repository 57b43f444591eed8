"""The run record: one folder that says what was asked, what happened, and how to go on."""

import json
import os
import shlex
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PyTree

from journeyman.parts import JourneymanError, rebuild, refuse
from journeyman.policies._arrays import declare_arrays, pack_arrays, read_arrays
from journeyman.policies._artefact import check_target, installed_versions
from journeyman.policies._files import (
    MAX_JSON_BYTES,
    check_keys,
    check_version,
    parse_json,
    pretty_json,
    read_file,
    sync,
    write_file,
)
from journeyman.training._checkpoint import Checkpoints
from journeyman.training._folder import (
    ARRAYS,
    CHECKPOINTS,
    CONFIG,
    FORMAT,
    POLICIES,
    POLICY,
    TENSORBOARD,
    acquire,
    check_folder,
    clear,
    remove,
)
from journeyman.training._metrics import Metrics, has_tensorboard

FORMAT_VERSION = 1

PACKAGES = (
    "journeyman jax jaxlib equinox optax lineax numpyro numpy orbax-checkpoint envpool gymnasium mujoco"
).split()

_SCHEMA: dict[str, tuple[type, ...]] = {
    "format": (str,),
    "format_version": (int,),
    "config": (dict,),
    "arrays": (dict,),
    "seed": (int, type(None)),
    "links": (dict,),
    "versions": (dict,),
    "commit": (str, type(None)),
    "command": (str, type(None)),
    "tensorboard": (bool,),
}


class Run:
    """A run folder that this process writes; make one with `Run.create` or `Run.open`, use it in a `with`.

    Attributes: `folder`; `config` and `arrays` as given to `create`; `record`, all of `config.json`; `links`,
    the fingerprints of what went in; `seed`; `metrics`; `checkpoints`. One process at a time holds a run.
    """

    def __init__(self, folder: Path, record: dict[str, Any], arrays: dict[str, np.ndarray], lock: int) -> None:
        self.folder = folder
        self.record = record
        self.arrays = arrays
        self.checkpoints = Checkpoints(folder / CHECKPOINTS)
        self._lock: int | None = lock
        self.metrics = Metrics(folder, folder / TENSORBOARD if record["tensorboard"] else None)

    config = property(lambda self: self.record["config"], doc="What `create` was given.")
    seed = property(lambda self: self.record["seed"], doc="The seed of everything random in the run.")
    links = property(lambda self: self.record["links"], doc="Fingerprints of what went into the run.")
    policy_folder = property(lambda self: self.folder / POLICY, doc="Where the policy artefact belongs.")
    policies_folder = property(lambda self: self.folder / POLICIES, doc="Where those of a sweep belong, by seed.")

    @classmethod
    def create(
        cls,
        folder: str | Path,
        config: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        seed: int | None = None,
        links: Mapping[str, str] | None = None,
        tensorboard: bool = True,
        overwrite: bool = False,
    ) -> "Run":
        """Begin a run in `folder`, which must be absent or empty, or hold a run and `overwrite`.

        Args:
            config: plain JSON, fully resolved (`parts.describe` gives it together with `arrays`).
            seed: recorded beside it.
            links: fingerprints of the data, policy, ... that go in, by role.
            tensorboard: also write event files, where tensorboardX is installed.

        Raises `JourneymanError` for a folder in use or with foreign content, and a config that is no JSON.
        """
        folder = Path(folder)
        check_folder(folder, overwrite)
        packed = {name: np.asarray(array) for name, array in (arrays or {}).items()}
        data = _encode(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "config": dict(config),
                "arrays": declare_arrays(packed),
                "seed": seed,
                "links": dict(links or {}),
                "versions": installed_versions(PACKAGES),
                "commit": _commit(),
                "command": _command(),
                "tensorboard": tensorboard and has_tensorboard(),
            }
        )
        lock = acquire(folder)
        try:
            check_folder(folder, overwrite)  # again, now that nobody else can begin a run here
            clear(folder)
            write_file(folder / ARRAYS, pack_arrays(packed))
            write_file(folder / CONFIG, data)
            return cls(folder, json.loads(data), packed, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Continue a run. Raises `JourneymanError` for a folder that is none, is damaged, or is in use."""
        folder = Path(folder)
        record = read_record(folder)
        lock = acquire(folder)
        try:
            return cls(folder, record, read_arrays(folder / ARRAYS, record["arrays"]), lock)
        except BaseException:
            os.close(lock)
            raise

    # -- metrics -------------------------------------------------------------------------------------

    def log(self, row: Mapping[str, Any], *, clock: Mapping[str, float] | None = None) -> None:
        """Append one line to `metrics.jsonl`; `row` has an "iteration", "epoch" or "step" (see"
        " `Metrics.log`)."""
        self.metrics.log(row, clock=clock)

    def rewind(self, step: int, *, rows: int | None = None) -> None:
        """Cut the metrics back to the rows up to `step`, or to the first `rows` of them, at once."""
        self.metrics.rewind(step, rows=rows)

    # -- checkpoints ---------------------------------------------------------------------------------

    def checkpoint(self, step: int, tree: PyTree, *, meta: Mapping[str, Any] | None = None) -> None:
        """Make the metrics durable, then save `tree` (see `Checkpoints.save`) and how many rows belong to"
        " it."""
        self.metrics.sync()
        self.checkpoints.save(step, tree, meta={"rows": self.metrics.rows, "user": dict(meta or {})})

    def restore(self, template: PyTree, *, step: int | None = None) -> tuple[int, PyTree, dict[str, Any]]:
        """Step, tree and meta of the newest checkpoint (or that of `step`); metrics and later checkpoints go.

        The folder is then as it was when that checkpoint was written. An artefact, which is of the end of a run, goes
        before there are newer rows: the checkpoint holds the same policy or a newer one. Raises `JourneymanError` where
        it may be an older one, when there is no complete checkpoint, or one that does not fit `template` (see
        `Checkpoints.restore`).
        """
        found = self.checkpoints.existing(step)
        tree, meta = self.checkpoints.restore(template, found)
        self._withdraw(found, meta["rows"])
        self.rewind(found, rows=meta["rows"])
        self.checkpoints.drop_after(found)
        return found, tree, meta["user"]

    def _withdraw(self, step: int, rows: int) -> None:
        """Take the policies of an earlier end away, at once; refuse where they may be newer than this checkpoint."""
        made = [folder for folder in (self.policy_folder, self.policies_folder) if folder.exists()]
        if made and self.metrics.rows > rows:
            raise JourneymanError(
                f"'{made[0]}' may be of a later moment than the checkpoint of step {step}, from which this goes on, and"
                " nothing else may hold its policy; move it elsewhere, or remove it, and go on then."
            )
        for folder in (self.policy_folder, *self.policies_folder.glob("*")):
            check_target(folder, overwrite=True)
        for folder in made:
            hidden = folder.with_name(f".{folder.name}.tmp-{uuid.uuid4().hex}")
            os.rename(folder, hidden)
            sync(self.folder)
            remove(hidden)

    def changed_versions(self) -> list[str]:
        """What is installed now in another version than when the run began, as `name old → new`."""
        now = installed_versions(PACKAGES)
        then = self.record["versions"]
        return [f"{name} {then.get(name)} → {now[name]}" for name in PACKAGES if then.get(name) != now[name]]

    # -- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Flush everything and let another process have the folder."""
        try:
            self.metrics.close()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def read_record(folder: str | Path) -> dict[str, Any]:
    """`config.json` of a run, checked; needs no lock, so a run can be read while it goes on."""
    folder = Path(folder)
    if not (folder / CONFIG).exists():
        raise JourneymanError(f"'{folder}' is not a run: it has no {CONFIG}; give the folder of a run.")
    where = f"'{folder / CONFIG}'"
    record = parse_json(read_file(folder / CONFIG, MAX_JSON_BYTES), where)
    check_version(record, FORMAT, FORMAT_VERSION, where)
    check_keys(record, _SCHEMA, where)
    return record


def read_context(folder: str | Path) -> dict[str, Any]:
    """What was told as the `context` of a run beside its parts; `{}` where that is nothing, as after `Run.create`."""
    context = read_record(folder)["config"].get("context")
    return context if isinstance(context, dict) else {}


def read_parts(folder: str | Path) -> dict[str, Any]:
    """The parts that a run was begun with, as they were then; needs no lock either."""
    record = read_record(folder)
    return rebuild(record["config"]["parts"], read_arrays(Path(folder) / ARRAYS, record["arrays"]))


def begun(folder: str | Path) -> bool:
    """Whether there is a run in `folder` that can go on: it has a complete checkpoint."""
    return (Path(folder) / CONFIG).exists() and Checkpoints(Path(folder) / CHECKPOINTS).latest() is not None


def check_links(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse to mix: every fingerprint in `expected` must stand in `found` under the same role."""
    refuse(
        [
            f"The {role} does not belong here: {want} is expected and {found.get(role, 'none')} was found;"
            f" use the {role}"
            " that this was made from, or start anew."
            for role, want in expected.items()
            if found.get(role) != want
        ]
    )


# -- inside ---------------------------------------------------------------------------------------------


def _encode(record: Mapping[str, Any]) -> bytes:
    try:
        return pretty_json(record)
    except (TypeError, ValueError) as error:
        raise JourneymanError(
            f"`config` must be plain JSON with finite numbers ({error}); describe it with `parts.describe`."
        ) from error


def _command() -> str | None:
    """What was typed, without where the interpreter found it; `None` where nothing was typed."""
    if not sys.argv or sys.argv[0] in ("", "-c"):
        return None
    name = Path(sys.argv[0]).name
    return shlex.join(["journeyman" if name in ("cli.py", "__main__.py") else name, *sys.argv[1:]])


def _commit() -> str | None:
    """The commit of the source tree this package runs from; `None` for an installed one."""
    git = Path(__file__).resolve().parents[3] / ".git"  # of a checkout, where the package lies in src/
    try:
        if git.is_file():  # a worktree or a submodule
            git = (git.parent / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        shared = git / (git / "commondir").read_text().strip() if (git / "commondir").exists() else git
        if (shared / name).exists():
            return (shared / name).read_text().strip()
        packed = (line.split() for line in (shared / "packed-refs").read_text().splitlines())
        return next((fields[0] for fields in packed if fields[-1:] == [name]), None)
    except OSError:
        return None

"""Which folders a run may begin in, what it may take away there, and who holds it."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from journeyman.parts import JourneymanError, refuse
from journeyman.policies._files import naming
from journeyman.training._metrics import NAME as METRICS

FORMAT = "journeyman-run"
CONFIG, ARRAYS, LOCK = "config.json", "config.safetensors", "lock"
CHECKPOINTS, TENSORBOARD, POLICY, POLICIES = "checkpoints", "tensorboard", "policy", "policies"

# What an overwritten run loses; whatever else lies in the folder stays. config.json goes last, so that an
# overwrite that was cut short can be repeated.
WRITTEN = (CHECKPOINTS, TENSORBOARD, POLICY, POLICIES, METRICS, "report.html", "summary.json", ARRAYS, CONFIG)


def check_folder(folder: str | Path, overwrite: bool = False, reads: Mapping[str, Path | None] | None = None) -> None:
    """Refuse a folder in which no run may begin: a file, foreign content, a run without `overwrite`, no permission.

    `reads` is what the run begins with, by the name of who gives it; a run that would replace it is refused too.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise JourneymanError(f"'{folder}' is a file, and a run is a folder; choose another name.")
    name = os.fspath(folder.absolute())
    if name != name.encode(errors="replace").decode():
        raise JourneymanError(
            f"The path '{name}' has bytes that are no text in this system's encoding, and checkpoints cannot be written"
            " there; choose another folder."
        )
    nearest = next(above for above in (folder.absolute(), *folder.absolute().parents) if above.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "may not be written to" if nearest.is_dir() else "is a file"
        raise JourneymanError(f"'{folder}' cannot be made, because '{nearest}' {what}; choose another folder.")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    # a process that died before config.json was complete has not begun a run
    if not {name for name in names if not name.startswith(f".{CONFIG}.tmp-")} - {LOCK, ARRAYS}:
        return
    if CONFIG not in names:
        raise JourneymanError(
            f"'{folder}' is not empty and holds no run ('{min(names)}' lies there), so it is not touched;"
            " choose another"
            " folder."
        )
    if not overwrite:
        raise JourneymanError(
            f"'{folder}' holds a run already and nothing is ever overwritten unasked; continue it (`journeyman resume`,"
            " in Python resume=True), choose another folder, or allow it to be replaced (--overwrite, in Python"
            " overwrite=True)."
        )
    try:
        ours = json.loads((folder / CONFIG).read_bytes()).get("format") == FORMAT
    except (ValueError, AttributeError, OSError):
        ours = False
    if not ours:
        raise JourneymanError(
            f"'{folder}' has a {CONFIG} that no journeyman run wrote, so it is not overwritten; choose another folder."
        )
    refuse(lost(reads or {}, [folder / name for name in WRITTEN]))


def lost(reads: Mapping[str, Path | None], replaced: Sequence[Path]) -> list[str]:
    """What of `reads` lies in what is about to be `replaced`, in sentences; a run folder is read for its policy."""
    gone = [path.parent.resolve() / path.name for path in replaced]  # of a link, the link itself
    return [
        f"{name} reads '{path}', which the result would replace; choose another place for the result."
        for name, path in reads.items()
        if path is not None
        and any(one.resolve().is_relative_to(each) for one in (path, path / POLICY) for each in gone)
    ]


def clear(folder: Path) -> None:
    """Remove what a run wrote in `folder`, and nothing else."""
    for name in WRITTEN:
        remove(folder / name)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def acquire(folder: Path) -> int:
    """Hold the run until the returned descriptor is closed or this process is gone, however it goes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise JourneymanError(f"'{folder}' cannot be written to ({error.strerror}); choose another folder.") from error
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise JourneymanError(
            f"'{folder}' is being written by process {holder or 'unknown'}; wait for it, stop it, or choose"
            " another folder."
        ) from error
    with naming(folder / LOCK):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
